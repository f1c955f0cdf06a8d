"""Settings, composition root, entry point, supervisor and processes. Imported by nobody."""
