"""Who pays: billing accounts, bindings, the timeline of payers."""
