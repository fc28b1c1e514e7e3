"""The verbs that ask registries.

Owns what is printed about it, which is docker's where docker has it. It never speaks to a registry
itself: that is RegistryClient's. Begin with `asking`.
"""
