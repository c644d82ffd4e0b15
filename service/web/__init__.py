"""Web pages: the playground and the API documentation."""
