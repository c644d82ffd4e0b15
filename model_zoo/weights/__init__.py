"""Weights in and out: our own store, and importers of official files."""
