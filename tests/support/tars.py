"""Small layer tars for tests: what the tests of drivers have, too."""

from layerstore.testing.driver.tars import Content, layer_tar, many_files

__all__ = ["Content", "layer_tar", "many_files"]
