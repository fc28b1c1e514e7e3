"""Images: loading, saving, importing, committing, and bad ones."""
