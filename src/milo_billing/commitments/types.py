"""Frozen values and errors of this slice. It has none yet."""
