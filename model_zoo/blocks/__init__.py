"""Building blocks that two or more families share unchanged; a block owns `fuse()`."""
