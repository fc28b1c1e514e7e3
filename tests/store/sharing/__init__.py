"""One store and many processes: what works from elsewhere, and what nobody can do to its owner."""
