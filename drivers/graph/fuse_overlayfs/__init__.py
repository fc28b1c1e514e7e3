"""fuse-overlayfs: overlay2's layout, mounted by a program in place of the kernel.

Owns how the program is run, and whether it works on a root. What lies on the disk is `overlay2`'s
business, with whiteouts as the program writes them; nothing here decides which driver a root has.
Begin with `driver`.
"""
