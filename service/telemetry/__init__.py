"""Logs, metrics and traces; imports nothing else of the service."""
