"""Pulling from real registries: what others put there, what goes wrong, and what is left then."""
