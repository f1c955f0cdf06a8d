"""The emission SDK, from the format of its spool to kill -9 against a real gateway."""
