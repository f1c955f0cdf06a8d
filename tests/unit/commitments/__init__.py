"""Promises as pure functions."""
