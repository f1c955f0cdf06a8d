"""What was used: ingest, deduplicate, attribute, roll up, quarantine."""
