"""Moby's own layer package beside layerstore, in process: `python -m benchmarks --against moby`.

Owns the building of moby's package with a small program, what each of the two does when it is
asked, and the table. Nothing of moby is in this repository: its sources come from Debian, and what
is built of them is kept in a cache. Begin with `compare`.
"""
