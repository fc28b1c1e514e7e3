"""Images: names, configurations, and the steps of loading, saving, importing and committing.

Owns what an image is to a user and the order of each operation's steps. It never reads an archive's
format (that is `archive`) and keeps no books (that is the ImageRegistry). Begin with `store`.
"""
