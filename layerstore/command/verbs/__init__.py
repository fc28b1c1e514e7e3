"""What each command does with an open store.

Owns the steps and the words of each. It parses no arguments. Begin with `listings`, then
`changing`.
"""
