"""Tars to try: a corpus, odd ones by hand, generated ones, and Go's tar-split as a reference."""
