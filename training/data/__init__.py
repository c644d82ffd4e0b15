"""Datasets: read any supported format, check it and load batches for training."""
