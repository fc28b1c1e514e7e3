"""What `run` does to a command: its namespaces, its root, who it is, its terminal, its end.

Owns the processes from fork to exec, and what they are told as plain data (`spec`). It never reads
an image or a store. Begin with `spec`, then `child` and `command`.
"""
