"""Deletion of rows, profiles and notes that are past their retention."""

from collections.abc import Iterable
from datetime import datetime, timedelta

import duckdb

from monitor.store.detector_store import EVIDENCE_RETENTION
from monitor.store.model import Model

# table, its column of times, retention
RETENTIONS = (
    ("detector_evidence", "hour", EVIDENCE_RETENTION),
    ("idempotency", "noted_at", timedelta(days=7)),
    ("quarantine", "noted_at", timedelta(days=30)),
    ("mistyped", "hour", timedelta(days=30)),
)


def delete_old_rows(
    con: duckdb.DuckDBPyConnection, models: Iterable[Model], before: datetime
) -> None:
    """Delete the events before a time, and their labels."""
    for model in models:
        con.execute(
            f"DELETE FROM {model.labels} WHERE event_id IN "
            f"(SELECT event_id FROM {model.events} WHERE ts < ?)",
            [before],
        )
        con.execute(f"DELETE FROM {model.events} WHERE ts < ?", [before])


def delete_old_profiles(con: duckdb.DuckDBPyConnection, before: datetime) -> None:
    """Delete the profiles of buckets before a time."""
    for table in ("profile_bins", "profile_moments"):
        con.execute(f"DELETE FROM {table} WHERE bucket < ?", [before])


def delete_old_notes(con: duckdb.DuckDBPyConnection, now: datetime) -> None:
    """Delete evidence, idempotency keys, quarantined rows and mismatch counts."""
    for table, column, retention in RETENTIONS:
        con.execute(f"DELETE FROM {table} WHERE {column} < ?", [now - retention])
