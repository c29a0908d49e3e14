"""Small tools with one purpose a file; nothing here knows about models or data."""
