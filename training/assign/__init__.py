"""Assigners: which predictions learn which objects."""
