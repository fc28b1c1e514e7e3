"""A network of a run's own with a way out: a namespace, and the program that its packets pass.

Owns that program from start to end, what it is told, and what keeps packets from this machine's own
loopback. It never routes or copies a packet itself. Begin with `plan`, then `connect`.
"""
