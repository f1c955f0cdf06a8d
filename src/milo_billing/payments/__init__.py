"""What was paid: collection, retries, refunds. Not built yet; this package keeps its place in the layers."""
