"""The warm process: it has imported what commands need, and forks for each.

Owns that process as a whole, which has no threads. It forks a process beside a command, or keeps
the command itself; nothing of a container is in its reach but by descriptors. Begin with `process`.
"""
