"""Bytes in, accepted frames out: validation, quotas, column policies and duplicates."""
