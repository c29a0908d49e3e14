"""Saves and restores the state of a run, whole or not at all."""
