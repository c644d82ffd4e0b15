"""Runtimes that execute a model file behind one protocol."""
