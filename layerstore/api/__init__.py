"""The front door: LayerStore, AsyncLayerStore and their way of opening and closing a root.

Owns what an open store is to a program that embeds it. What can be asked of layers and mounts is
declared in `operations`, what of images is in `images`. Begin with `store`.
"""
