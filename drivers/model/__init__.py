"""The words of the field as plain data: IDs, trees, limits, what metadata says, faults and steps.

Owns their grammar and shape. It never touches a disk and never decides anything; actors and the
front door use the same classes. Begin with `ids` and `tree`.
"""
