"""The verbs of payments: collect, settle, refund, set up, and apply what providers tell."""
