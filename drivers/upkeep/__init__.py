"""Keeping a root whole: what a crash left is reaped, damage is told, and mended where it can be.

Owns recovery at opening, the survey of all metadata, the comparison with the disk, and the plan and
steps of a repair. It never loses what is whole. Begin with `recovery`, then `check`.
"""
