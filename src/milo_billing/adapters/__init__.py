"""The only home of vendor SDKs: document writers now; payments, mail, webhooks later."""
