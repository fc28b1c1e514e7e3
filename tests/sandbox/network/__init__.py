"""A run with a network of its own that has a way out."""
