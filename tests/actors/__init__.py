"""Closing, supervision, waiting, and actors that die."""
