"""The kinds of what was promised."""
