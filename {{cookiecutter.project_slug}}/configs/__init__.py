"""The typed configuration (CFG): its schema, loading, overrides and error messages."""
