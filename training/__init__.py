"""Offline training jobs: data, augmentation, assignment, losses, the loop, evaluation."""
