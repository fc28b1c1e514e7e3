"""Reading a directory tree into facts that can be compared: what the tests of drivers have, too."""

from layerstore.testing.driver.trees import Facts, differences, in_whole_seconds, read_tree

__all__ = ["Facts", "differences", "in_whole_seconds", "read_tree"]
