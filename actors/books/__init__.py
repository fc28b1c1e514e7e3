"""The books: who owns what, who holds it, and what may go, as plain Python.

Owns the state of layers, mounts and images, and the decisions that follow from it. It never sends
a message and never waits, so each book can be read and tested alone. Begin with `layers`.
"""
