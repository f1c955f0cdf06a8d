"""Web pages over the API. Built by a later change; this package keeps its place in the layers."""
