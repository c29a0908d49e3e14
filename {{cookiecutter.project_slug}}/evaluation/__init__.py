"""Metrics computed as a stream, and the report that shows a run in pictures."""
