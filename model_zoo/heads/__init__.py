"""Detection heads: raw maps, and how they decode."""
