"""Making files of tar members, beneath a root that nothing leads out of.

Owns what each member does to the tree, in which order, and what it may not do. It never reads bytes
of the stream's framing, and never opens a device. Begin with `apply`, which does a whole layer.
"""
