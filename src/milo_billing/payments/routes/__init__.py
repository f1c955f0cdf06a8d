"""The doors of payments."""
