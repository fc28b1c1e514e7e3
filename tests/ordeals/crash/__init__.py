"""Killing, cutting the power, and failing each call."""
