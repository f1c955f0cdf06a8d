"""Pure decisions about who pays. Nothing here reads, writes or looks at a clock."""
