"""The declared side of who pays: accounts, bindings, payment methods."""
