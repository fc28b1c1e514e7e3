"""The btrfs graph driver: every layer a subvolume, made as a snapshot of its parent.

Owns Docker's layout of it, and the quota groups that bound and measure layers. It never asks what
is in a layer: that is a tree like vfs's. Begin with `driver`.
"""
