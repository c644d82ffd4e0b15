"""Training loop: optimizer, schedule, weight averaging, precision and data parallelism."""
