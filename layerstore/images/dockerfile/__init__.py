"""Instructions of a Dockerfile as text: their lines, words, variables, flags, ports and durations.

Owns what docker's parser makes of them, oddities included, which `tests/images/instructions` asks
dockerd itself. It changes no configuration. Begin with `lines`, then `syntax`.
"""
