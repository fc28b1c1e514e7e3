"""Graph drivers: how layers lie on a disk and how they are mounted.

Owns the driver protocol, whose docstring is the manual, the drivers, and the choice of one for a
root. A driver counts nothing and knows no metadata of layers, no actor and no image. Begin with
`protocol`; then `vfs`, which is the simplest.
"""
