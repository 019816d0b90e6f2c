"""Floors shared by all families; nothing here is public."""
