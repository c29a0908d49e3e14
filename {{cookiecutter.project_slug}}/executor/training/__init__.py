"""Trains a model: the trainer, its step, its state and what watches it."""
