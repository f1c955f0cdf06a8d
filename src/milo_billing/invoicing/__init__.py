"""What is owed: drafts, issue, documents."""
