"""Views of what was traced: lists, trees, figures, pages, and playing it again.

Owns what is made of a journal once it is read. The store's actors and the journal's writer know
nothing of it. Begin with `loaded`, then `listing`.
"""
