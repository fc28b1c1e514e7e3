"""What input from outside may grow to, at most."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what one tar may unpack to, and on chains; none is more than the disk can take."""

    max_entries: int = 10_000_000
    max_bytes: int = 1 << 40
    """Content of all regular files together, holes included, in bytes; also the inflated tar."""
    max_path: int = 4096
    """Bytes in one entry's name or link target."""
    max_header: int = 1 << 20
    """Bytes in one PAX header, GNU long name or sparse map."""
    max_depth: int = 2048
    """Components of one entry's path: as many as a path of PATH_MAX, 4096 bytes, can have."""
    max_devices: int = 10_000
    """Device nodes in one tar; 0 refuses them all. Whiteouts don't count."""
    max_ratio: int = 2000
    """Bytes of inflated tar for each compressed one. Gzip gives 1032 at most, so it never trips."""
    ratio_from: int = 1 << 30
    """Bytes of inflated tar that are free of max_ratio: as much as the store keeps room for."""
    max_layers: int = 125
    """Layers in one chain (moby: layer.maxLayerDepth). overlayfs joins 500, an init layer among
    them; dockerd mounts no more than 128."""
    max_memory: int = 4 << 30
    """Bytes of address space of a worker process (RLIMIT_AS)."""
