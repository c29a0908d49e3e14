"""The run directory: its files, its lock, its status and its metrics."""
