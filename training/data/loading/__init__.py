"""Training batches: sampling, image cache and worker processes."""
