"""Each thing that can be asked of a store: its name, arguments, documentation and message.

Owns what is asked and what is made of the answer, once for all faces. Who waits for it, and how, is
theirs: `python -m tools.faces` makes their methods from these functions. What a function takes
first, a face fills in: `New` a reference to be made, a handle what it is asked of, a `Number` what
the work can be abandoned by. All other arguments are the caller's. It never asks anything. Begin
with `terms`, then `rwlayer`.
"""
