"""Training runs: set-up, checkpoints, evaluation, publishing."""
