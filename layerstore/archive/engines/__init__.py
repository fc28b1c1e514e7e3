"""Images where other engines keep them, by the names of transports that skopeo's users know.

Owns which transports there are, and each one's way in or out: a daemon's socket, the directories
of containers-storage, OCI layouts and `dir:` that images are added to. It knows no store, asks no
registry, and writes nothing into what it reads. Begin with `transport`.
"""
