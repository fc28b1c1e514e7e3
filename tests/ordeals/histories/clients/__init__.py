"""Random histories of processes that are attached to one store, some of them killed on their way.

Owns the processes (`client`, `zygote`), and what a killed one may have done (`remains`).
"""
