"""The layerstore command."""
