"""Accounts of received rows by hour, reasons of refusals, and the quarantine."""

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import duckdb
import pyarrow as pa

from monitor.event import RAW_SAMPLE
from monitor.store.database import Database, insert_rows, registered

# different ones of each model, kind and hour; the others are counted as "other"
MAX_REASONS = 50
MAX_REASON_CHARACTERS = 160
MAX_LISTED_REASONS = 1000
ROW_BYTES = 100  # of a quarantined row beside its text
OUTCOMES = ("received", "stored", "duplicate", "refused", "unchecked")
# what differs from row to row: quoted text, names of features and tags, numbers
_DETAIL = re.compile(
    r"'(?:[^'\\]|\\.)*'"
    r'|"[^"]*"'
    r"|(?<=`features\.)[^`]*"
    r"|(?<=`tags\.)[^`]*"
    r"|(?<=`prediction\.)[^`]*"
    r"|(?<![A-Za-z_])\d[\w.:+-]*"
)


@dataclass
class Account:
    """Rows of one model and kind: `refused` of those `received`, `stored` once, `duplicate`.

    `unchecked` are those of the stored rows that were too old to be compared with
    every stored id.
    """

    received: int = 0
    stored: int = 0
    duplicate: int = 0
    refused: int = 0
    unchecked: int = 0
    reasons: Counter[str] = field(default_factory=Counter)


# by model, kind (events or labels) and hour of receipt
Accounts = dict[tuple[str, str, datetime], Account]


def generalize(reason: str) -> str:
    """Return a reason without the details of its row, so that equal faults count together.

    >>> generalize("`ts` 'yesterday' is not RFC 3339, e.g. 2026-11-22T09:30:00Z")
    '`ts` … is not RFC …, e.g. …'
    """
    return _DETAIL.sub("…", reason)[:MAX_REASON_CHARACTERS]


def record_accounts(con: duckdb.DuckDBPyConnection, accounts: Accounts) -> None:
    """Add accounts to those stored of their hours."""
    counts = [
        (*key, *(getattr(account, outcome) for outcome in OUTCOMES))
        for key, account in accounts.items()
    ]
    insert_rows(con, f"accounting(model, kind, hour, {', '.join(OUTCOMES)})", counts)
    reasons: list[tuple[Any, ...]] = []
    for key, account in accounts.items():
        frequent = account.reasons.most_common(MAX_REASONS)
        reasons += [(*key, reason, n) for reason, n in frequent]
        others = account.reasons.total() - sum(n for _, n in frequent)
        if others:
            reasons.append((*key, "other", others))
    insert_rows(con, "refusals(model, kind, hour, reason, n)", reasons)


def store_refused(con: duckdb.DuckDBPyConnection, refused: pa.Table | None) -> None:
    """Put refused rows into the quarantine, each under a number that no other row had."""
    if refused is not None and refused.num_rows:
        with registered(con, refused, "refused_rows"):
            con.execute(
                "INSERT INTO quarantine BY NAME SELECT *, "
                '(SELECT "last" FROM quarantine_number) + row_number() OVER () AS id '
                "FROM refused_rows"
            )
        con.execute(
            'UPDATE quarantine_number SET "last" = "last" + ?', [refused.num_rows]
        )


@dataclass(frozen=True)
class QuarantinedRow:
    """One refused row: the reason, and its text up to a limit."""

    id: int
    noted_at: datetime
    kind: str
    model: str
    line: int
    event_id: str | None
    reason: str
    raw: str

    @property
    def whole(self) -> bool:
        """True when the whole text was stored, so that the row can be sent again."""
        return 0 < len(self.raw) < RAW_SAMPLE


class Ledger:
    """The stored accounts and the quarantine.

    Times are naive UTC; `models` None means all models.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def totals(self, models: Collection[str] | None = None) -> dict[str, int]:
        """Count the rows of every outcome since the beginning."""
        sums = ", ".join(f"coalesce(sum({name}), 0)::BIGINT" for name in OUTCOMES)
        (counts,) = self._database.query(
            f"SELECT {sums} FROM accounting WHERE {_among(models)}",
            _params(models=models),
        )
        return dict(zip(OUTCOMES, counts, strict=True))

    def by_hour(
        self, models: Collection[str] | None, start: datetime, end: datetime
    ) -> list[dict[str, Any]]:
        """Count every outcome by model, kind and hour of receipt, oldest first."""
        return self._accounts("model, kind, hour", models, start, end)

    def by_step(
        self,
        models: Collection[str] | None,
        start: datetime,
        end: datetime,
        step: timedelta,
    ) -> list[dict[str, Any]]:
        """Count every outcome by kind and step of receipt, oldest first.

        All models are added up; `hour` is the start of a step.
        """
        keys = (
            "NULL AS model, kind, "
            "time_bucket(to_seconds($step), hour, TIMESTAMP '1970-01-05') AS hour"
        )
        rows = self._accounts(keys, models, start, end, step=step.total_seconds())
        for row in rows:
            del row["model"]
        return rows

    def by_model(
        self, models: Collection[str] | None, start: datetime, end: datetime
    ) -> list[dict[str, Any]]:
        """Count every outcome by model and kind; `hour` is that of the newest row."""
        return self._accounts("model, kind, max(hour) AS hour", models, start, end)

    def _accounts(
        self,
        keys: str,
        models: Collection[str] | None,
        start: datetime,
        end: datetime,
        **params: float,
    ) -> list[dict[str, Any]]:
        sums = ", ".join(f"sum({name})::BIGINT AS {name}" for name in OUTCOMES)
        rows = self._database.query(
            f"SELECT {keys}, {sums} FROM accounting a "
            "WHERE a.hour >= $start AND a.hour < $end "
            f"AND {_among(models, 'a.model')} "
            "GROUP BY ALL ORDER BY hour, model, kind",
            _params(models=models, start=start, end=end, **params),
        )
        names = ("model", "kind", "hour", *OUTCOMES)
        return [dict(zip(names, row, strict=True)) for row in rows]

    def reasons(
        self, models: Collection[str] | None, start: datetime, end: datetime
    ) -> list[dict[str, Any]]:
        """List the reasons of refusals, the most frequent first."""
        rows = self._database.query(
            "SELECT model, kind, reason, sum(n)::BIGINT AS n FROM refusals "
            f"WHERE hour >= $start AND hour < $end AND {_among(models)} "
            "GROUP BY ALL ORDER BY n DESC, model, kind, reason "
            f"LIMIT {MAX_LISTED_REASONS}",
            _params(models=models, start=start, end=end),
        )
        names = ("model", "kind", "reason", "rows")
        return [dict(zip(names, row, strict=True)) for row in rows]

    def refused(
        self,
        model: str | None = None,
        kind: str | None = None,
        reason: str | None = None,
        ids: Sequence[int] | None = None,
        after: int = 0,
        limit: int = 100,
        models: Collection[str] | None = None,
        newest: bool = False,
    ) -> list[QuarantinedRow]:
        """List quarantined rows with a number above `after`, oldest (or newest) first.

        `reason` is a part of one; None leaves a condition out.
        """
        conditions = {
            "model": "model = $model",
            "kind": "kind = $kind",
            "reason": "contains(reason, $reason)",
            "ids": "list_contains($ids, id)",
            "models": "list_contains($models, model)",
        }
        params = _params(model=model, kind=kind, reason=reason, ids=ids, models=models)
        where = " AND ".join(["id > $after", *(conditions[name] for name in params)])
        order = "DESC" if newest else "ASC"
        rows = self._database.query(
            "SELECT id, noted_at, kind, model, line, event_id, reason, raw "
            f"FROM quarantine WHERE {where} ORDER BY id {order} LIMIT $limit",
            {"after": after, "limit": limit, **params},
        )
        return [QuarantinedRow(*row) for row in rows]

    def quarantine_size(self, models: Collection[str] | None = None) -> tuple[int, int]:
        """Count the rows in the quarantine, and the bytes of their texts."""
        ((rows, size),) = self._database.query(
            "SELECT count(*), coalesce(sum(strlen(raw)), 0)::BIGINT FROM quarantine "
            f"WHERE {_among(models)}",
            _params(models=models),
        )
        return rows, size

    def discard(self, ids: Sequence[int]) -> int:
        """Delete rows from the quarantine; return how many there were.

        Their refusals remain counted.
        """
        with self._database.writing() as con:
            ((deleted,),) = con.execute(
                "DELETE FROM quarantine WHERE list_contains($ids, id)",
                {"ids": list(ids)},
            ).fetchall()
        return int(deleted)


def trim_quarantine(con: duckdb.DuckDBPyConnection, max_bytes: int) -> None:
    """Delete the oldest quarantined rows until the others fit in `max_bytes`."""
    con.execute(
        "DELETE FROM quarantine WHERE id IN (SELECT id FROM ("
        f"SELECT id, sum(strlen(raw) + {ROW_BYTES}) OVER (ORDER BY id DESC) AS size "
        "FROM quarantine) WHERE size > ?)",
        [max_bytes],
    )


def _among(models: Collection[str] | None, column: str = "model") -> str:
    """Return SQL that is true for the rows of `models` (a parameter), or of all."""
    return "TRUE" if models is None else f"list_contains($models, {column})"


def _params(**values: Any) -> Mapping[str, Any]:
    """Return parameters of a statement, without those that are None."""
    return {
        name: list(value) if isinstance(value, set | frozenset | tuple) else value
        for name, value in values.items()
        if value is not None
    }
