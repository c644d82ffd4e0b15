"""Engines that run a model package, without torch."""
