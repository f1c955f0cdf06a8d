"""Seeded months of a small provider's money, and the auditor who checks its books after every step."""
