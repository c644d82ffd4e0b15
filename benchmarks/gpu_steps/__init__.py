"""Steps of `benchmarks.gpu`. Each runs in a process of its own and imports what it needs, so that a step can fail."""
