"""Registries of images, asked by HTTP as the OCI distribution specification says.

Owns where a name's registry is, who asks, and how: places, credentials, connections, tokens,
retries. It knows nothing of stores: what comes, goes on as bytes that whoever asked has to check
or has checked here against a digest. It never imports its HTTP library before something is asked
for. Begin with `repository`.
"""
