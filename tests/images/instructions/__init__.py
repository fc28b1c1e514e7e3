"""Instructions of a Dockerfile in `--change`: what dockerd makes of each, and what layerstore."""
