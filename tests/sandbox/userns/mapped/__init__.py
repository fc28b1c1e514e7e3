"""Sandboxes with users of their own, from a store to the command."""
