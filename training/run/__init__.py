"""Training runs: setup, checkpoints, evaluation, logging and publishing."""
