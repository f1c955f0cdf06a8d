"""Pure pricing: `lines.rate` from usage to lines, one module a price model below it."""
