"""Archives in the shapes that other tools give them."""
