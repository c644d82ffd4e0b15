"""Reports of training runs and comparisons."""
