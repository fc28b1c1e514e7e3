"""What the pytest plugin gives to other people's tests.

Owns a session's store, root file systems for tests, and the search for what a test left behind. It
is imported by nothing but tests that ask for it. Begin with `rootfs`.
"""
