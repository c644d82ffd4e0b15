"""Measure how well a model detects."""
