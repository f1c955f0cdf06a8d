"""Promises on a real database."""
