"""Registries on loopback: Debian's docker-registry in every dress, and servers that go with it.

`daemon` runs one, `fixtures` has those that tests share, `images` puts images there, `tokens` is
who grants access to one, `http` what answers requests here, `certificates` an authority of the
tests' own.
"""
