"""The bank side: statements become entries, entries find their invoices, the rest waits for a person."""
