"""Dataset checks and statistics."""
