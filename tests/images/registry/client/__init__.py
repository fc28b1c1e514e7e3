"""What a client of registries makes of what servers say whose every byte a test decides."""
