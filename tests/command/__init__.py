"""The `layerstore` command."""
