"""Crashes, power losses and failing calls at every point of what a store does."""
