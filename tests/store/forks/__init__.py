"""Forks and resets of read-write layers, by every face."""
