"""The typed configuration (CFG): its schema, loading, overrides and error messages."""

import os

# Pydantic otherwise looks for plugins in the metadata of every installed package when it starts.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
