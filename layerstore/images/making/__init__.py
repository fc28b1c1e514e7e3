"""Images made of what the store has, or of a plain tar: by a commit, an import, or made flat.

Owns their layers while that is done, and their configurations. It reads no archive of images: that
is `load`'s. Begin with `commit`.
"""
