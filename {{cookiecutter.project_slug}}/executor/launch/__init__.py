"""Starts several processes of a training, here or by a scheduler."""
