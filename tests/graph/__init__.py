"""Graph drivers: the conformance suite that every driver passes."""
