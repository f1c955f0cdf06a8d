"""The books: balanced transactions. Takes money and ids, knows no invoice."""
