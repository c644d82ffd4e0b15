"""Design systems: their style sheets and the markup of each component."""
