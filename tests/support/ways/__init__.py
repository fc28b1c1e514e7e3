"""The ways in which a process has a store: what is public is tested in each of them.

`thread`: its actors run in this process, `process`: in a child of it, `attached`: another process
has the root open. Owns the fixtures for that (`fixtures`), opening (`opening`), and the process
that owns roots for others (`owners`, `owning`). Begin with `fixtures`.
"""
