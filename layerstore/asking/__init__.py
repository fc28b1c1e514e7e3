"""How a store is asked, and how what is asked travels: requests, tars, answers to come.

Owns the kinds of request, the pipes that tars go through, and futures of answers. It knows no
operation and no face. Begin with `requests`.
"""
