"""Pure decisions of notices."""
