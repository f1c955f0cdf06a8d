"""Who may: tokens, roles, isolation, audit."""
