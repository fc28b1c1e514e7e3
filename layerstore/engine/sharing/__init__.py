"""One store, many processes: the socket of whoever has a root open, and those that attach to it.

Owns the protocol, the owner's end of it (`listening`, `serving`), and the other (`attached`,
`link`). It decides nothing about a store, nor does it describe a request a second time: what
travels are the actors' own messages. All that comes in is hostile. Begin with `wire`.
"""
