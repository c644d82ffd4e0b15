"""A detector of the elements of user interfaces: its data set, made from rendered pages."""
