"""What every actor stands on: mailboxes, futures, promises, references, and the one way to wait.

Owns how messages travel and how answers come later, on top of Pykka and around its traps. It knows
no message of the store's but that it has one. Begin with `message` and `ref`, then
`base`.
"""
