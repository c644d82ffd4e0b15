"""Vary training images."""
