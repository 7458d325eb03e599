"""What came and what became of it: accounts by hour, reasons, the quarantine, answered keys."""

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow as pa

from monitor.event import RAW_SAMPLE

if TYPE_CHECKING:
    from monitor.store.store import Store

REASONS_KEPT = 50  # different ones for each model, kind and hour; the rest are "other"
OUTCOMES = ("received", "stored", "duplicate", "refused", "unchecked")
_DETAIL = re.compile(
    r"'(?:[^'\\]|\\.)*'|\"[^\"]*\"|(?<=`features\.)[^`]*|(?<=`tags\.)[^`]*|(?<=`prediction\.)[^`]*|(?<![A-Za-z_])\d[\w.:+-]*"
)


@dataclass
class Account:
    """Rows of one model and kind: `refused` of what `received`; `stored` once, `unchecked` of those; `duplicate`."""

    received: int = 0
    stored: int = 0
    duplicate: int = 0
    refused: int = 0
    unchecked: int = 0
    reasons: Counter[str] = field(default_factory=Counter)


# by model, kind (events or labels) and hour of receipt
Accounts = dict[tuple[str, str, datetime], Account]


def general(reason: str) -> str:
    """A reason without what differs from record to record, so that equal faults count together.

    >>> general("`ts` 'yesterday' is not RFC 3339, e.g. 2026-11-22T09:30:00Z")
    '`ts` … is not RFC …, e.g. …'
    """
    return _DETAIL.sub("…", reason)[:160]


def record(con: duckdb.DuckDBPyConnection, accounts: Accounts) -> None:
    """Add accounts to those of their hours."""
    rows = [
        (*key, *(getattr(a, name) for name in OUTCOMES)) for key, a in accounts.items()
    ]
    insert(con, f"accounting(model, kind, hour, {', '.join(OUTCOMES)})", rows)
    reasons = []
    for key, account in accounts.items():
        kept = account.reasons.most_common(REASONS_KEPT)
        rest = account.reasons.total() - sum(n for _, n in kept)
        reasons += [(*key, reason, n) for reason, n in kept] + (
            [(*key, "other", rest)] if rest else []
        )
    insert(con, "refusals(model, kind, hour, reason, n)", reasons)


def quarantine(con: duckdb.DuckDBPyConnection, refused: pa.Table | None) -> None:
    """Keep refused records, each under a number of its own."""
    if refused is not None and refused.num_rows:
        con.register("refused_rows", refused)
        con.execute(
            "INSERT INTO quarantine BY NAME SELECT *, (SELECT coalesce(max(id), 0) FROM quarantine) + row_number() OVER () AS id FROM refused_rows"
        )
        con.unregister("refused_rows")


def insert(
    con: duckdb.DuckDBPyConnection, table: str, rows: Sequence[tuple[Any, ...]]
) -> None:
    """Rows of plain values in one statement: one for each row costs as much as loading hundreds of events."""
    if rows:
        columns = [list(column) for column in zip(*rows, strict=True)]
        con.execute(
            f"INSERT INTO {table} SELECT {', '.join(['unnest(?)'] * len(columns))}",
            columns,
        )


@dataclass(frozen=True)
class Quarantined:
    """One refused record: why, and the record itself as far as it was kept (`whole` says if all of it was)."""

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
        """Whether the record can be sent again as it is."""
        return 0 < len(self.raw) < RAW_SAMPLE


class Ledger:
    """The stored accounts and the quarantine, for reading."""

    def __init__(self, store: "Store") -> None:
        self.store = store

    def totals(self, models: Collection[str] | None = None) -> dict[str, int]:
        """Every outcome's rows since the beginning, of all models or of some."""
        sums = ", ".join(f"coalesce(sum({name}), 0)::BIGINT" for name in OUTCOMES)
        which = "TRUE" if models is None else "list_contains($models, model)"
        (found,) = self.store.query(
            f"SELECT {sums} FROM accounting WHERE {which}", _params(models=models)
        )
        return dict(zip(OUTCOMES, found, strict=True))

    def by_hour(
        self, models: Collection[str] | None, start: datetime, end: datetime
    ) -> list[dict[str, Any]]:
        """Every outcome's rows by model, kind and hour of receipt, oldest first."""
        return self._accounts("model, kind, hour", models, start, end)

    def by_step(
        self,
        models: Collection[str] | None,
        start: datetime,
        end: datetime,
        step: timedelta,
    ) -> list[dict[str, Any]]:
        """Every outcome's rows by kind and step of receipt, all models together, oldest first; `hour` is a step's start."""
        keys = "NULL AS model, kind, time_bucket(to_seconds($step), hour, TIMESTAMP '1970-01-05') AS hour"
        rows = self._accounts(keys, models, start, end, step=step.total_seconds())
        return [{k: v for k, v in row.items() if k != "model"} for row in rows]

    def by_model(
        self, models: Collection[str] | None, start: datetime, end: datetime
    ) -> list[dict[str, Any]]:
        """Every outcome's rows by model and kind, and when the last of them came in."""
        return self._accounts("model, kind, max(hour) AS hour", models, start, end)

    def _accounts(
        self,
        keys: str,
        models: Collection[str] | None,
        start: datetime,
        end: datetime,
        **more: float,
    ) -> list[dict[str, Any]]:
        sums = ", ".join(f"sum({name})::BIGINT AS {name}" for name in OUTCOMES)
        which = "TRUE" if models is None else "list_contains($models, a.model)"
        found = self.store.query(
            f"SELECT {keys}, {sums} FROM accounting a WHERE a.hour >= $start AND a.hour < $end AND {which} "
            "GROUP BY ALL ORDER BY hour, model, kind",
            _params(models=models, start=start, end=end, **more),
        )
        return [
            dict(zip(("model", "kind", "hour", *OUTCOMES), row, strict=True))
            for row in found
        ]

    def reasons(
        self, models: Collection[str] | None, start: datetime, end: datetime
    ) -> list[dict[str, Any]]:
        """Why rows were refused, the most frequent first."""
        which = "TRUE" if models is None else "list_contains($models, model)"
        found = self.store.query(
            f"SELECT model, kind, reason, sum(n)::BIGINT AS n FROM refusals WHERE hour >= $start AND hour < $end AND {which} GROUP BY ALL "
            "ORDER BY n DESC, model, kind, reason LIMIT 1000",
            _params(models=models, start=start, end=end),
        )
        return [
            dict(zip(("model", "kind", "reason", "rows"), row, strict=True))
            for row in found
        ]

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
    ) -> list[Quarantined]:
        """Records in the quarantine, oldest first (or newest), from the one after number `after`; `reason` is part of one."""
        wanted = {
            "model = $model": ("model", model),
            "kind = $kind": ("kind", kind),
            "contains(reason, $reason)": ("reason", reason),
            "list_contains($ids, id)": ("ids", ids),
            "list_contains($models, model)": ("models", models),
        }
        given = {
            condition: pair for condition, pair in wanted.items() if pair[1] is not None
        }
        where = " AND ".join(["id > $after", *given])
        found = self.store.query(
            f"SELECT id, noted_at, kind, model, line, event_id, reason, raw FROM quarantine WHERE {where} ORDER BY id {'DESC' if newest else ''} LIMIT $limit",
            {"after": after, "limit": limit, **_params(**dict(given.values()))},
        )
        return [Quarantined(*row) for row in found]

    def quarantined(self, models: Collection[str] | None = None) -> tuple[int, int]:
        """How many records the quarantine holds, and their bytes."""
        which = "TRUE" if models is None else "list_contains($models, model)"
        ((n, size),) = self.store.query(
            f"SELECT count(*), coalesce(sum(strlen(raw)), 0)::BIGINT FROM quarantine WHERE {which}",
            _params(models=models),
        )
        return n, size

    def discard(self, ids: Sequence[int]) -> int:
        """Take records out of the quarantine; how many there were.

        Their refusal stays counted.
        """
        with self.store.writing() as con:
            return int(
                con.execute(
                    "DELETE FROM quarantine WHERE list_contains($ids, id)",
                    {"ids": list(ids)},
                ).fetchall()[0][0]
            )

    def trim(self, con: duckdb.DuckDBPyConnection, most_bytes: int) -> None:
        """Let the oldest records go until the others fit in `most_bytes`."""
        con.execute(
            "DELETE FROM quarantine WHERE id IN (SELECT id FROM (SELECT id, sum(strlen(raw) + 100) OVER (ORDER BY id DESC) AS size "
            "FROM quarantine) WHERE size > ?)",
            [most_bytes],
        )


def _params(**given: Any) -> Mapping[str, Any]:
    return {
        k: list(v) if isinstance(v, set | frozenset | tuple) else v
        for k, v in given.items()
        if v is not None
    }
