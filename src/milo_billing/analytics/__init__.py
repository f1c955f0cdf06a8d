"""Where it went: cost queries, allocation, FOCUS. Not built yet; this package keeps its place in the layers."""
