"""Database, migrations, jobs, clock, crypto, telemetry, embedded PostgreSQL."""
