"""Mounts that show other owners: what is stored of what is done in them."""
