"""Design systems: their files, and how they mark up a component."""
