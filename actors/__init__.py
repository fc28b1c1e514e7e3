"""Who owns what: the registries, driver workers and their pool, tracing. Touches no disk."""
