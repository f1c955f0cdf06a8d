"""Electronic invoices after EN 16931: what they say, in UBL 2.1 and in CII D16B, and whether they hold its rules."""
