"""Logs. Imports nothing else of the service."""
