"""Control groups: what a run's processes may use together, and what they have used.

Owns the groups that runs are put into, from their making to their removal, in cgroup v2 and, where
a machine has its controllers there, v1. It knows neither what runs nor why. Begin with `limits`,
then `group`.
"""
