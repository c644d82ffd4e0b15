"""Backbones that two or more families share unchanged."""
