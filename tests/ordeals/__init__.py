"""Trials by number and by chance: crash points, histories, hostile input, fuzzing."""
