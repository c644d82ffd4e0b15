"""Show how a run went."""
