"""What was promised: minimum spends, prepayments, discounts."""
