"""Inference: models, queues, batches. Imports no HTTP framework."""
