"""How a Python is started that has the disk's half of the package only.

Owns the command line. The new process gets a package of the same name and place without running the
front door's `__init__`, so it imports no actors, whatever way the package was installed.
"""

from __future__ import annotations

import sys

# Looking for garbage while it imports would take a tenth of the time.
_BOOTSTRAP = """
import gc
gc.disable()
import importlib, sys, types
module, places, paths, *rest = sys.argv[1:]
places, paths = int(places), int(paths)
package = types.ModuleType("layerstore")
package.__path__ = rest[:places]
sys.modules["layerstore"] = package
sys.path[:] = rest[places:places + paths]
importlib.import_module(module).main(*rest[places + paths:])
"""


def lean_command(module: str, *arguments: str) -> list[str]:
    """Return the command of a Python that calls a module's `main` with these arguments."""
    places = list(sys.modules["layerstore"].__path__)
    paths = [path for path in sys.path if path]
    how_many = (str(len(places)), str(len(paths)))
    python = [sys.executable, "-I", "-S", "-c", _BOOTSTRAP]
    return [*python, module, *how_many, *places, *paths, *arguments]
