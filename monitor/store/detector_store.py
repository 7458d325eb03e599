"""What the detector keeps of each model: fitted machines, states to go on from, hourly evidence, and what was accepted."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import duckdb

if TYPE_CHECKING:
    from monitor.store.store import Store

DAILY_KEPT, WEEKLY_KEPT = timedelta(days=4), timedelta(days=60)
EVIDENCE_KEPT = timedelta(days=400)


@dataclass(frozen=True)
class StoredFit:
    """One machine of one lane, in force from `starts` on.

    `source` says what it was learned from, `since` from when.
    """

    lane: str
    starts: datetime
    source: str
    since: datetime
    body: str


@dataclass(frozen=True)
class AcceptedChange:
    """Somebody said that what has been there since a moment is the new normal."""

    at: datetime
    since: datetime
    who: str


@dataclass(frozen=True)
class Progress:
    """What one run of the detector leaves behind; saved together with the alerts that came of it.

    `again_from`: what was concluded after it is forgotten first, as rows came late.
    `states` are (hour end, JSON), oldest first; `evidence` (hour, lane, share of what
    pages).
    """

    again_from: datetime | None = None
    fits: Sequence[StoredFit] = ()
    states: Sequence[tuple[datetime, str]] = ()
    evidence: Sequence[tuple[datetime, str, float]] = ()


class DetectorStore:
    """The stored side of the detector."""

    def __init__(self, store: "Store") -> None:
        self.store = store

    def fits(self, model_id: int) -> list[StoredFit]:
        """All machines of a model in the order in which they came into force."""
        rows = self.store.query(
            "SELECT lane, starts, source, since, body FROM detector_fits WHERE model = ? ORDER BY starts",
            [model_id],
        )
        return [StoredFit(r[0], _aware(r[1]), r[2], _aware(r[3]), r[4]) for r in rows]

    def state(
        self, model_id: int, before: datetime | None = None
    ) -> tuple[datetime, str] | None:
        """The newest state, or the newest that knows nothing from `before` on."""
        rows = self.store.query(
            "SELECT until, body FROM detector_states WHERE model = $model AND ($before IS NULL OR until <= $before) "
            "ORDER BY until DESC LIMIT 1",
            {"model": model_id, "before": before},
        )
        return (_aware(rows[0][0]), rows[0][1]) if rows else None

    def accepted(self, model_id: int) -> list[AcceptedChange]:
        """What was accepted as normal, oldest first."""
        rows = self.store.query(
            "SELECT noted_at, since, who FROM detector_accepted WHERE model = ? ORDER BY noted_at",
            [model_id],
        )
        return [
            AcceptedChange(_aware(at), _aware(since), who) for at, since, who in rows
        ]

    def accept(self, model_id: int, accepted: AcceptedChange) -> None:
        """Keep that something was accepted."""
        with self.store.writing() as con:
            con.execute(
                "INSERT INTO detector_accepted VALUES (?, ?, ?, ?)",
                [model_id, accepted.at, accepted.since, accepted.who],
            )

    def evidence(
        self, model_id: int, start: datetime, end: datetime
    ) -> list[tuple[datetime, str, float]]:
        """The evidence of each lane in each hour, as a share of what pages."""
        rows = self.store.query(
            "SELECT hour, lane, evidence FROM detector_evidence WHERE model = ? AND hour >= ? AND hour < ? ORDER BY hour, lane",
            [model_id, start, end],
        )
        return [(_aware(at), lane, value) for at, lane, value in rows]

    def selftest(self, model_id: int) -> dict[str, Any] | None:
        """The newest self-test, with `at`, when it ran; None before the first."""
        rows = self.store.query(
            "SELECT body FROM detector_selftests WHERE model = ? ORDER BY noted_at DESC LIMIT 1",
            [model_id],
        )
        return json.loads(rows[0][0]) if rows else None

    def selftests_at(self) -> dict[int, datetime]:
        """When the newest self-test of each model ran, by model id."""
        rows = self.store.query(
            "SELECT model, max(noted_at) FROM detector_selftests GROUP BY model"
        )
        return {model: _aware(at) for model, at in rows}

    def keep_selftest(self, model_id: int, at: datetime, body: dict[str, Any]) -> None:
        """Keep what a self-test found in place of the one before."""
        text = json.dumps({**body, "at": at}, default=datetime.isoformat)
        with self.store.writing() as con:
            con.execute("DELETE FROM detector_selftests WHERE model = ?", [model_id])
            con.execute(
                "INSERT INTO detector_selftests VALUES (?, ?, ?)", [model_id, at, text]
            )


def save(
    con: duckdb.DuckDBPyConnection, model_id: int, model: str, progress: Progress
) -> None:
    """Write what a run left, in the caller's transaction; states that are too close together are thinned out."""
    if progress.again_from is not None:
        rewind(con, model_id, model, progress.again_from)
    if progress.fits:
        con.executemany(
            "INSERT INTO detector_fits VALUES (?, ?, ?, ?, ?, ?)",
            [
                [model_id, f.lane, f.starts, f.source, f.since, f.body]
                for f in progress.fits
            ],
        )
    if progress.states:
        kept = _thinned(progress.states)
        con.execute(
            "DELETE FROM detector_states WHERE model = ? AND until >= ?",
            [model_id, progress.states[0][0]],
        )
        stored = [
            _aware(at)
            for (at,) in con.execute(
                "SELECT until FROM detector_states WHERE model = ?", [model_id]
            ).fetchall()
        ]
        wanted = {
            at for at, _ in _thinned([*((at, "") for at in sorted(stored)), *kept])
        }
        for at in stored:
            if at not in wanted:
                con.execute(
                    "DELETE FROM detector_states WHERE model = ? AND until = ?",
                    [model_id, at],
                )
        con.executemany(
            "INSERT INTO detector_states VALUES (?, ?, ?)",
            [[model_id, at, body] for at, body in kept if at in wanted],
        )
    if progress.evidence:
        first = min(at for at, _, _ in progress.evidence)
        lanes = sorted({lane for _, lane, _ in progress.evidence})
        con.execute(
            "DELETE FROM detector_evidence WHERE model = $model AND hour >= $first AND lane IN (SELECT unnest($lanes))",
            {"model": model_id, "first": first, "lanes": lanes},
        )
        con.execute(
            "INSERT INTO detector_evidence SELECT $model, unnest($hours), unnest($lanes), unnest($values)",
            {
                "model": model_id,
                "hours": [
                    at.astimezone(UTC).replace(tzinfo=None)
                    for at, _, _ in progress.evidence
                ],
                "lanes": [lane for _, lane, _ in progress.evidence],
                "values": [value for _, _, value in progress.evidence],
            },
        )


def rewind(
    con: duckdb.DuckDBPyConnection, model_id: int, model: str, to: datetime
) -> None:
    """Forget states and evidence of after a moment, machines that learned from hours after it, and alerts nobody saw."""
    con.execute(
        "DELETE FROM alerts WHERE model = $model AND since >= $since AND json_extract_string(body, '$.acknowledged_by') IS NULL "
        "AND id NOT IN (SELECT alert FROM outbox) AND starts_with(json_extract_string(body, '$.finding.rule'), 'detector.')",
        {"model": model, "since": to},
    )
    con.execute("DELETE FROM transitions WHERE alert NOT IN (SELECT id FROM alerts)")
    con.execute(
        "DELETE FROM detector_states WHERE model = ? AND until > ?", [model_id, to]
    )
    con.execute(
        "DELETE FROM detector_evidence WHERE model = ? AND hour >= ?", [model_id, to]
    )
    con.execute(
        "DELETE FROM detector_fits WHERE model = ? AND starts > ? AND source <> 'reference'",
        [model_id, to],
    )


def forget(con: duckdb.DuckDBPyConnection, model_id: int) -> None:
    """Forget everything of a model: its reference is another one, and so the bins mean something else."""
    for table in (
        "detector_fits",
        "detector_states",
        "detector_evidence",
        "detector_accepted",
        "detector_selftests",
    ):
        con.execute(f"DELETE FROM {table} WHERE model = ?", [model_id])


def _thinned(states: Sequence[tuple[datetime, str]]) -> list[tuple[datetime, str]]:
    """The newest state, one for each midnight of four days, and one for each Monday of two months."""
    newest = states[-1][0]
    by_time: Mapping[datetime, str] = dict(states)

    def is_kept(at: datetime) -> bool:
        midnight = at.hour == 0
        return at == newest or (
            midnight
            and (
                newest - at <= DAILY_KEPT
                or (at.weekday() == 0 and newest - at <= WEEKLY_KEPT)
            )
        )

    return [(at, body) for at, body in sorted(by_time.items()) if is_kept(at)]


def _aware(at: datetime) -> datetime:
    return at.replace(tzinfo=UTC)
