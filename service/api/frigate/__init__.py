"""Frigate's ZeroMQ detector. No ZeroMQ here."""
