"""Doing jobs, in a worker's thread or in its child process.

Owns which operations each job is, in which order (`perform`), the child, its frames and its end.
What a child sends is never trusted to have the right type. It decides nothing about layers. Begin
with `perform`, then `process` and `child`, the two sides of a socket.
"""
