"""Data sets: read, checked, counted, loaded."""
