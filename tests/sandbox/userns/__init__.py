"""User namespaces: maps, and what they make of IDs."""
