"""Read-write layers once more, and as they were made."""
