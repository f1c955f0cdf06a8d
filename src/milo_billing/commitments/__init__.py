"""What was promised: minimum spend, prepayment. Not built yet; this package keeps its place in the layers."""
