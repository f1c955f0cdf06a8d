"""Who shares: resellers, revenue share, payouts. Not built yet; this package keeps its place in the layers."""
