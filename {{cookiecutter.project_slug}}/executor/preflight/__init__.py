"""Checks before a training: packages, data, settings, and whether a stop is survived."""
