"""What the kernel offers beyond Python's os module, and small habits of using files safely.

Owns thin calls and rules that every other room relies on: system calls by number (`syscalls`),
small files read without trusting them (`small_file`) and written whole (`durable`), frames on a
socket. It never knows what a layer is. Begin with `durable` and `small_file`.
"""
