"""Milo Billing: usage-based billing for service providers, from who pays to a paid invoice."""
