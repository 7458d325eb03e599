"""The server: one process that owns the data folder."""
