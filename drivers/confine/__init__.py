"""What a process that reads hostile input gives up, and keeping an eye on such a process.

Owns namespaces, the filter of system calls, limits, and the fork that unpacks one tar. It knows
neither tars nor jobs. Begin with `confine`.
"""
