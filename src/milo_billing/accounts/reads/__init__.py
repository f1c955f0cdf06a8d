"""SQL that reads who pays.

Rows come out as frozen values; an open end is None. What a transaction reaches is decided by row-level security.
"""
