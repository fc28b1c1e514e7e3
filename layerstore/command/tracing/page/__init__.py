"""The page that shows a trace in a browser: one file with its script, its style and the records.

Owns how it looks and what it lets one do. It loads nothing from anywhere. Begin with `page`.
"""
