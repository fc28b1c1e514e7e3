"""Roots shared with dockerd, and other engines."""
