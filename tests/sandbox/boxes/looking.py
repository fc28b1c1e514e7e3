"""What tests of sandboxes say to them, and look at."""

from __future__ import annotations

import os

from layerstore import LayerStore, Sandbox

ENV = {"PATH": "/bin"}


def words(box: Sandbox, line: str) -> list[str]:
    """Run a line of shell that complains of nothing, and return the words that it prints."""
    done = box.exec(["sh", "-c", line])
    assert (done.status, done.stderr) == (0, b"")
    return (done.stdout or b"").decode().split()


def noted(store: LayerStore) -> list[str]:
    home = f"{store.root}/layerstore/sandboxes"
    owns = [own for own in os.listdir(home) if not own.endswith(".lock")]
    return [name for own in owns for name in os.listdir(f"{home}/{own}")]
