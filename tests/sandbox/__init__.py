"""Running commands, on hostile images too."""
