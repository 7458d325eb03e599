"""What one load brings, and what it did."""

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import pyarrow as pa

from monitor.schema import ModelSchema
from monitor.spool.record import SpoolPosition
from monitor.store.ledger import Account, Accounts
from monitor.store.type_mismatches import Seen

Lines = bytes | Path  # raw lines, or the file that has them


@dataclass
class LoadBatch:
    """Everything one load brings, by model; `end` is the spool position after it."""

    end: SpoolPosition
    bytes: int = 0
    more: bool = False  # frames were left for the next load
    schemas: dict[str, ModelSchema] = field(default_factory=dict)
    lines: dict[str, Lines] = field(default_factory=dict)
    tables: dict[str, list[pa.Table]] = field(default_factory=dict)
    labels: dict[str, pa.Table] = field(default_factory=dict)
    refused: pa.Table | None = None
    accounts: Accounts = field(default_factory=dict)
    mistyped: Seen = field(default_factory=dict)
    # key, body hash, answer, at
    keys: list[tuple[str, str, str, datetime]] = field(default_factory=list)

    def account(self, model: str, kind: str, at: datetime) -> Account:
        """The account of a model and kind for the hour of `at`."""
        key = model, kind, at.replace(minute=0, second=0, microsecond=0)
        found = self.accounts.get(key)
        if found is None:
            found = self.accounts[key] = Account()
        return found

    def received(self) -> dict[tuple[str, str], int]:
        """Rows that came, by model and kind."""
        rows: dict[tuple[str, str], int] = {}
        for (model, kind, _), account in self.accounts.items():
            rows[model, kind] = rows.get((model, kind), 0) + account.received
        return rows


@dataclass(frozen=True)
class Loaded:
    """What a load did."""

    events: int = 0
    duplicates: int = 0
    labels: int = 0
    # received with it, by model and kind
    rows: dict[tuple[str, str], int] = field(default_factory=dict)
    more: bool = False  # it was as large as a load may be: there may be more
    # by model, of the rows whose profiles changed
    earliest: dict[str, datetime] = field(default_factory=dict)
