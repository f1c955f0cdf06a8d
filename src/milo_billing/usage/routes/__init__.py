"""HTTP doors of usage, a module a subject: ingest at the gateway, quarantine and raw events at the API."""
