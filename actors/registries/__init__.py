"""The registries: the actors that own layers, mounts and images.

Owns the order of the messages of each operation: ask the books, send work on, answer when it is
done. A handler never waits and never touches a disk. Begin with `submitter`, then
`layers`.
"""
