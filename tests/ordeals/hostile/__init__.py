"""Layers, archives and files on a disk that attack, and what has to become of each."""
