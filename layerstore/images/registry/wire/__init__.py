"""One question and its answer over HTTP, as registries speak it.

Owns connections, TLS, proxies, what is waited for and how long, and what answers say: headers,
challenges, errors. It never knows what is asked for, who asks, or what the content means. Begin
with `transport`.
"""
