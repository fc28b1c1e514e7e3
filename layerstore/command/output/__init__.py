"""How answers look in a terminal: tables, columns, templates, filters, progress.

Owns the form, as docker's. It asks nothing of a store. Begin with `tables`.
"""
