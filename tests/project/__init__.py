"""The project itself: documents, examples, the pytest plugin."""
