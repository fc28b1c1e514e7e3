"""How cost grows: with files, with workers, with what a root has."""
