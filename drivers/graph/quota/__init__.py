"""Project quotas: bounds that xfs and ext4 keep on all that lies in a directory.

Owns the kernel's two interfaces for them, which file is of which project and what a project may
take, and the choice of a project for a layer. What a layer is it doesn't know. Begin with `layers`.
"""
