"""The `lineage` command: one module per verb."""
