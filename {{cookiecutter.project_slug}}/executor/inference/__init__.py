"""Runs trained models: evaluation, prediction and loading a run."""
