"""What an invoice says and when it may be issued: pure decisions, one module a question."""
