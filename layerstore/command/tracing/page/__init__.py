"""The page that shows a trace in a browser: one file with its script, its style and the records."""
