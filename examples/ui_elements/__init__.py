"""A detector of the elements of user interfaces: its dataset, made from rendered pages."""
