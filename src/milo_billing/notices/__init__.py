"""Channels and delivery for every slice. Not built yet; this package keeps its place in the layers."""
