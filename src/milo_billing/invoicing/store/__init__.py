"""SQL that writes this slice's tables. An invoice goes in from the bottom up: see db/schema.sql."""
