"""Looking on: every message as an envelope with a cause and an end, and who waits for whom.

Owns the ring of what is finished and the shape of what is seen. It changes nothing, keeps nobody
waiting and writes nothing anywhere. Begin with `trace`.
"""
