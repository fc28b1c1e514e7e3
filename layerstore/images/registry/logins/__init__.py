"""Who asks: the files and programs that docker and containers keep users and passwords in.

Owns their formats and places. It never asks a registry, and no error, log or text of its for people
ever holds a secret. Begin with `login`, then `files`.
"""
