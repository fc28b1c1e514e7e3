"""What gets to a registry: blobs, layers, images, and names that stand for several."""
