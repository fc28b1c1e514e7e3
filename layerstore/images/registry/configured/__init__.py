"""What docker and containers are told about registries on this machine, as plain data.

Owns the formats and places of their files. It never writes one, and asks no registry; what follows
from it for a name is `settings`' business. Begin with `daemon`.
"""
