"""What operators look at: the journal, metrics, and a watchdog that tells of what hangs.

Owns figures and records of what happens. It changes nothing. Begin with `metrics`.
"""
