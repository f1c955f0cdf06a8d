"""Every advisory lock that the server takes, here and in the database, so that no two are the same by accident.

A number is one lock, or a class of locks with a second number: of a project, an account. Where several are held at once
their order is that of the slice's README. Not: when they are taken (the slices).
"""

from typing import Final

ROLES: Final = 4200
"""Two servers of one cluster of databases must not both create its roles."""

COMMIT: Final = 4201
"""The commit lock, which controlplane.seal takes: resource versions are in the order of commits."""

FENCE: Final = 4202
"""Shared while usage is attributed, exclusive while a payer changes."""

PROJECTS: Final = 4203
"""A class, one a project: two changes of one project's payer come one after the other."""

TREES: Final = 4204
"""A class, one an organization: shared to look along its trees of accounts, exclusive to change one.

The database takes it too (accounts.guard_tree), with the same key.
"""

METHOD_CLASSES: Final = 4205
"""Two changes of which payment method class is the default come one after the other."""

MIGRATIONS: Final = 4206
"""Of the session that migrates."""

FOLLOWING: Final = 4207
"""Of the session that follows a resource manager."""

INVOICED_ACCOUNTS: Final = 4208
"""A class, one an account: its invoices are issued one after the other."""

FIRST_GRANTS: Final = 4209
"""Two servers that start at once must not both make the built-in roles and the administrator."""

DAYS: Final = 4210
"""Whoever makes partitions of usage.events."""

COMPACTION: Final = 4211
"""Whoever changes roll-ups of usage."""

RETENTION: Final = 4212
"""Shared while somebody reads partitions and archive together, exclusive while a partition goes."""

ARCHIVING: Final = 4213
"""Of the session that archives."""

BILLING: Final = 4214
"""A class, one for each sixty-fourth of the accounts: exclusive while one is invoiced, shared while usage is added. So
few, because a group of events takes the locks of all its accounts."""

INDEXING: Final = 4215
"""Of the session that indexes past days of usage.events, which takes as long as it takes."""

COLLECTION: Final = 4216
"""A class, one an account: collecting its invoices, and using what it has on account, come one after the other."""

BANK: Final = 4217
"""Bank statements are imported, and their entries decided, one after the other."""

BOOKS: Final = 4220
"""A class, one a legal entity: shared while something is posted, exclusive while a month is closed.

Only the database takes it (ledger.post, ledger.close_month).
"""

PROMISES: Final = 4221
"""A class, one an account: its commitments are accepted and changed one after the other."""
