"""What may be used, at which prices. Not built yet; this package keeps its place in the layers."""
