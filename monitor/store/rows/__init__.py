"""Events and labels in DuckDB: loading, reading, duplicates and deletion."""
