"""One store root: its driver, its records and its trash as one thing, and what needs all three.

Owns the bundle that every job gets (`disk`), the order in which creations and removals happen, the
trash, the lock, and giving back a layer from its own files. It never chooses what is to be done.
Begin with `disk`, then `removal`.
"""
