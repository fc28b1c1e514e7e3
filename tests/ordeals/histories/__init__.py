"""Random histories of operations beside a model, and concurrent ones."""
