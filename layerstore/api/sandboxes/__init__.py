"""Sandboxes: a read-write layer, the container in it and its files, as one object.

Owns in which order these come and go, and that nothing is left of them. How a command is run it
doesn't know: that is `layerstore/sandbox`. Begin with `box`.
"""
