"""Pure decisions of the books: what a transaction must be, how facts are written, what accounts are for."""
