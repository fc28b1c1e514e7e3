"""Running a command in a root file system, and copying files into and out of one.

Owns what may be asked of a run and its life in this process; what the command's own process does is
`drivers/sandbox`. It makes no layer and removes none. Begin with `running`.
"""
