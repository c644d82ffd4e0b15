"""Page types, each a function that draws the body of a page."""
