"""The training loop: steps, optimizer, schedule, precision, distribution."""
