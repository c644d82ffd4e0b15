"""Types of pages, each a function that draws its body."""
