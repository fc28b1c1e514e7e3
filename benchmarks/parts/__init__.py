"""What single parts cost: each is run by its name, as `python -m benchmarks.parts.holes`."""
