"""Money, quantity, period, ids, error bases. Standard library only."""
