"""Detection heads: they predict raw maps and decode them."""
