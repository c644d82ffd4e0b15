"""Necks shared by two or more families."""
