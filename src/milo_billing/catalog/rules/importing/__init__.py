"""Public price lists read into meters, Skus and versions of a price book. docs/how-to-import-prices.md has the mapping.

`values` are what a list says, one module a format reads it, `planning` compares it with what stands.
"""
