"""The tar format: where its bytes come from, its headers and members, and writing it.

Owns the grammar of ustar, PAX, GNU and sparse members, read as hostile. It makes no file: that is
the room `unpack` in here; `split` records a tar so that it can be given back to the bit. Begin with
`members`, then `unpack/apply`.
"""
