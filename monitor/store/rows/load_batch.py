"""The rows of one load, and the result of it."""

from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import pyarrow as pa

from monitor.schema import ModelSchema
from monitor.spool.record import SpoolPosition
from monitor.store.ledger import Account, Accounts
from monitor.store.type_mismatches import MismatchCounts

Lines = bytes | Path  # raw event lines, or the file that has them


@dataclass
class LoadBatch:
    """Everything that one load adds, by model; `end` is the spool position after it."""

    end: SpoolPosition
    bytes: int = 0
    more: bool = False  # records were left for the next load
    schemas: dict[str, ModelSchema] = field(default_factory=dict)
    lines: dict[str, Lines] = field(default_factory=dict)
    tables: dict[str, list[pa.Table]] = field(default_factory=dict)
    labels: dict[str, pa.Table] = field(default_factory=dict)
    refused: pa.Table | None = None
    accounts: Accounts = field(default_factory=dict)
    mistyped: MismatchCounts = field(default_factory=dict)
    # idempotency key, hash of the body, response, time of receipt
    keys: list[tuple[str, str, str, datetime]] = field(default_factory=list)

    def account(self, model: str, kind: str, at: datetime) -> Account:
        """Return the account of a model and kind for the hour of `at`; new ones are empty."""
        key = (model, kind, at.replace(minute=0, second=0, microsecond=0))
        account = self.accounts.get(key)
        if account is None:
            account = self.accounts[key] = Account()
        return account

    def received(self) -> dict[tuple[str, str], int]:
        """Count the received rows by model and kind."""
        rows: dict[tuple[str, str], int] = {}
        for (model, kind, _), account in self.accounts.items():
            rows[model, kind] = rows.get((model, kind), 0) + account.received
        return rows

    def event_models(self) -> list[str]:
        """Return the names of the models that have events, sorted."""
        return sorted(self.lines.keys() | self.tables.keys())


@dataclass(frozen=True)
class Loaded:
    """The result of a load: stored events, duplicate events, received labels."""

    events: int = 0
    duplicates: int = 0
    labels: int = 0
    # received with it, by model and kind
    rows: dict[tuple[str, str], int] = field(default_factory=dict)
    more: bool = False  # rows may be left for another load
    # by model, of the rows whose profiles changed
    earliest: dict[str, datetime] = field(default_factory=dict)
