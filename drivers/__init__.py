"""Hands on the disk: graph drivers, metadata, tar, worker processes, the sandbox of a run.

Owns what is done to files, and knows no actors. Its rooms, from the top down: `worker`, `upkeep`,
`root`, `graph`, then `tar` and `sandbox`, `confine`, `records`, `tree` and `work`, `model` and
`system`, `errors`. Begin with `graph/protocol`.
"""
