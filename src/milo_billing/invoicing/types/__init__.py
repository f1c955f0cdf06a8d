"""Frozen values of what is owed: drafts, issued invoices, the document of one; and the errors of issuing.

The contract with the writers of documents (adapters) and with payments and revenue above. Money is integers of minor
units and a currency; quantities are `Decimal` as people read them (what was charged was computed exactly, in pricing).
"""
