"""Which names mean which images."""
