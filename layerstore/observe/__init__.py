"""What operators look at: metrics, and the journal of a trace.

Owns figures and records of what happens. It changes nothing. Begin with `metrics`.
"""
