"""Registries: pulling from them, pushing to them, and what is known of them."""
