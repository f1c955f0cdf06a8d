"""Channels and delivery, for every slice."""
