"""What is written down beside the layers: Docker's metadata, ours, and the journal of a trace.

Owns the formats of those files, and reading them as hostile. It never looks into a layer and
removes none. Begin with `layerdb`.
"""
