"""The HTTP face, one file per concern."""
