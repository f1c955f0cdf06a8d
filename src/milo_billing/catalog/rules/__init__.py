"""Pure decisions of the catalog: units, life cycles, what a book may hold."""
