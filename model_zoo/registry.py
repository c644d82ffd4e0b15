"""Every variant by name."""
