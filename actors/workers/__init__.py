"""Who does the work: the pool, its workers, the reaper, and the supervisor that replaces the dead.

Owns which job is done when and by whom; the doing is that of `drivers/worker`. It doesn't know what
a job does. Begin with `pool`, then `worker`; the `reaper` is alike.
"""
