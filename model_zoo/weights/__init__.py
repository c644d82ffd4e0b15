"""Weights: the safetensors store and the importers of official files."""
