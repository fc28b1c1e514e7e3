"""Image archives as files: docker's and OCI's, as tars and as directories, read and written.

Owns the formats, read as hostile. It knows no store. Begin with `read`, then `archive`.
"""
