"""Training batches: sampling, decoding, caching, worker processes."""
