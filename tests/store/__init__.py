"""The store as a program that embeds it sees it: layers, mounts, and its three faces."""
