"""Images on their way between the store and a registry.

Owns the steps of a pull and of a push, and a repository as an archive's reader sees it. It speaks
no HTTP: that is `registry`'s. Begin with `pull`.
"""
