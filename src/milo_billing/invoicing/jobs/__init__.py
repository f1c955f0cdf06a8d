"""What workers do for invoicing. Each may run twice, be killed anywhere, and meet another one."""
