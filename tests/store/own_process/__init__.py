"""A store whose actors are in a child process of its embedder."""
