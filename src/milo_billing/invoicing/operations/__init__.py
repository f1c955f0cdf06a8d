"""The verbs of invoices: draft, preview, issue, settle, credit, print, explain."""
