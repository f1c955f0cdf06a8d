"""The usage engine: many requests become one transaction that deduplicates, attributes, quarantines and rolls up.

`decode` (request thread) → `queue` → `prepare` (numpy, one thread) → `write` (one thread, one transaction a group) →
every request is answered. `compact` moves the deltas into the roll-ups. Vectors, not rows: performance.md.
"""
