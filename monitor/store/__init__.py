"""Everything stored: one DuckDB file, its writer and its readers."""

from monitor.store.store import Store

__all__ = ["Store"]
