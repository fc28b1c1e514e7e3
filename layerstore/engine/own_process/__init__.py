"""An engine of its own: a store's actors in a child process of whoever embeds the store.

Owns that process's life: its start, another one in its place when it has died, and what it knew
that isn't on the disk (`notes`). It asks and is asked by the protocol of `sharing`, over a socket
pair; it decides nothing about a store. Begin with `embedder`, then `hosting`.
"""
