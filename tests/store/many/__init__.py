"""What holds where there is much: many at once, and one found among many."""
