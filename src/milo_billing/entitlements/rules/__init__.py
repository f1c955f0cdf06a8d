"""Pure decisions about what may be used: terms and their phases, reviews."""
