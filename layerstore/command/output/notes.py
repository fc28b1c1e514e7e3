"""Notes on standard error: what is no failure but should be known."""

from __future__ import annotations

import sys

from layerstore.drivers.system.printable import escaped


def tell(note: str) -> None:
    """Print a note."""
    print(f"layerstore: {escaped(note)}", file=sys.stderr)
