"""Recording a tar beside its files, in vbatts/tar-split's format, and giving it back to the bit.

Owns the records and their checksums. It never decides what a member means. Begin with `records`.
"""
