"""Building blocks shared by two or more families, or named in the literature. A block defines its `fuse()`."""
