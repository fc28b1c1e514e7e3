"""User namespaces: which IDs outside stand for those inside, and processes and mounts in them.

Owns the maps, their making, and what asks the kernel for either. It changes no layer and knows
none. Begin with `id_map`.
"""
