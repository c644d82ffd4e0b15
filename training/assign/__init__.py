"""Assigners: algorithms that decide which predictions learn which objects."""
