"""Backbones shared by two or more families."""
