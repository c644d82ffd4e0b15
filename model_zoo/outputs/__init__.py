"""Outputs of detection: drawn images and videos, JSON lines, CSV and crops."""
