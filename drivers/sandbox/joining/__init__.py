"""Joining a running container with a second command, whatever goes on in there.

Owns the processes from spawning to exec. Unlike a first command, it comes where hostile ones run
already: nothing of this machine may be in their reach for a moment, and it makes nothing for itself
there, no directory and no mount. Begin with `child`.
"""
