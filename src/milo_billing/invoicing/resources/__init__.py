"""The kinds of this slice."""
