"""Money, quantity, aggregation, period, ids, error bases. Standard library only."""
