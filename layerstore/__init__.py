"""layerstore: moby's layer store as an embeddable Python library."""
