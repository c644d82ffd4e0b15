"""Protocols: thin adapters around the detection service."""
