"""A month in the life of a small provider, from declarations to issued invoices: `python -m demo`.

Owns: the sample provider and its usage. It is a client like any other: everything goes over HTTP, through
`milo_billing.client`. What the invoices must come to is computed here a second time, on its own, and
compared.
"""
