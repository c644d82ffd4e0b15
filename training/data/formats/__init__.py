"""Readers of dataset formats."""
