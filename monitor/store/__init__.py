"""The DuckDB file: schema and migrations, the one writer, and reads."""

from monitor.store.store import Store

__all__ = ["Store"]
