"""Views of what was traced: lists, trees, figures, pages, and playing it again.

They read journals. The store's actors and the journal's writer know nothing of them.
"""
