"""overlay2: every layer a directory of its own, joined by kernel overlayfs.

Owns docker's layout of it, the mounts, and what may be wrong with either. It never decides which
driver a root has. Begin with `driver`.
"""
