"""Who owns what: the registries, driver workers and their pool, tracing.

Owns all state of an open store, and touches no disk. Its rooms, from the top down: `registries`,
then `books` and `workers`, `messages`, `runtime`, `watching`. Begin with `messages`.
"""
