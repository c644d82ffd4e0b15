"""Losses, and the criterion of each generation."""
