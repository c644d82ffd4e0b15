"""Roboflow's inference protocol, for its SDK and for clients of its hosted service."""
