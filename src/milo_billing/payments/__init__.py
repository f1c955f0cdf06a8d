"""What was paid: collection, attempts, refunds, webhooks. Knows providers through its port only."""
