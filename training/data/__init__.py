"""Datasets: read, checked, counted, loaded."""
