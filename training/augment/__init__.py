"""Image augmentation for training."""
