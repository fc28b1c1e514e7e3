"""Recovery, the trash, check and repair."""
