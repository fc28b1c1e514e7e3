"""Hands on the disk: graph drivers, metadata store, tar, whiteouts and the worker process.

Nothing here knows actors or the front door. Every function blocks its caller and keeps no state
beyond paths, so the same code runs in a worker's thread or in its child process.
"""
