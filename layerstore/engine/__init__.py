"""The inside of an open store: its actors from launch to end, and asking them whatever happens.

Owns starting, making anew what died, checking, repairing and closing, and the watchdog, which tells
of what hangs; `sharing` has it used by other processes. It decides nothing about layers, mounts or
images; the registries do. Begin with `core`, then `generations` (which actors are now) and `crew`
(one set of them).
"""
