"""The front door: LayerStore, AsyncLayerStore and their way of opening and closing a root.

Owns what an open store is to a program that embeds it. It never says what can be asked of layers
and mounts (declared in `operations`) or of images (`images`). Begin with `store`.
"""
