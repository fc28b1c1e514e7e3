"""The verbs about commands that run in root file systems.

Owns what `run` and its siblings do and in which order; what a command sees and may do is
`drivers/sandbox`'s. It never changes an image but where a run is to be committed. Begin with `run`.
"""
