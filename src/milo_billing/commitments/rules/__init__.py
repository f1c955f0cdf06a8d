"""Pure promises: which intervals there are, what is missing at their end, which discount holds, in which order."""
