"""Example: a detector of user interface elements, trained on rendered pages."""
