"""Read-write layers that are thrown away, or that are bounded; what is kept of either."""
