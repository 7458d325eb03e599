"""Profiles and references in DuckDB: computed, read, merged and frozen."""
