"""Directory trees that somebody else may be changing: walking, copying, measuring, comparing.

Owns how a tree of files is read and written by descriptors, and the marks by which a tree says that
something of its parent is gone. It never follows a link out of the tree, and knows no tar. Begin
with `walk` and `whiteouts`.
"""
