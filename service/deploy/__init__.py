"""Ways to run the application."""
