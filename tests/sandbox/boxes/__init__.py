"""Sandboxes: what is done in them, and that nothing of them is left."""
