"""The detector's fits, states, hourly evidence and accepted changes, as stored."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb

from monitor.store.database import Database, aware, insert_rows

# of states: each midnight of four days, each Monday's of two months
DAILY_RETENTION = timedelta(days=4)
WEEKLY_RETENTION = timedelta(days=60)
EVIDENCE_RETENTION = timedelta(days=400)


@dataclass(frozen=True)
class StoredFit:
    """The fit of one lane, in force from `starts` on; `body` is JSON.

    It was learned from `source`, from the hours since `since`.
    """

    lane: str
    starts: datetime
    source: str
    since: datetime
    body: str


@dataclass(frozen=True)
class AcceptedChange:
    """A change that someone set as the new normal, from `since` on."""

    at: datetime
    since: datetime
    who: str


@dataclass(frozen=True)
class DetectorProgress:
    """The result of one run of the detector, saved together with its alerts.

    `again_from`: hours after it were evaluated again, as late rows arrived; what was
    stored of them is deleted. `states` are (end of an hour, JSON), oldest first;
    `evidence` (hour, lane, share of the alert level).
    """

    again_from: datetime | None = None
    fits: Sequence[StoredFit] = ()
    states: Sequence[tuple[datetime, str]] = ()
    evidence: Sequence[tuple[datetime, str, float]] = ()


class DetectorStore:
    """The stored side of the detector. Times are aware UTC."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def fits(self, model_id: int) -> list[StoredFit]:
        """Return all fits of a model in the order in which they came into force."""
        rows = self._database.query(
            "SELECT lane, starts, source, since, body FROM detector_fits "
            "WHERE model = ? ORDER BY starts",
            [model_id],
        )
        return [
            StoredFit(lane, aware(starts), source, aware(since), body)
            for lane, starts, source, since, body in rows
        ]

    def state(
        self, model_id: int, before: datetime | None = None
    ) -> tuple[datetime, str] | None:
        """Return the newest state, or the newest of hours that ended by `before`."""
        rows = self._database.query(
            "SELECT until, body FROM detector_states "
            "WHERE model = $model AND ($before IS NULL OR until <= $before) "
            "ORDER BY until DESC LIMIT 1",
            {"model": model_id, "before": before},
        )
        return (aware(rows[0][0]), rows[0][1]) if rows else None

    def accepted(self, model_id: int) -> list[AcceptedChange]:
        """Return the accepted changes of a model, oldest first."""
        rows = self._database.query(
            "SELECT noted_at, since, who FROM detector_accepted "
            "WHERE model = ? ORDER BY noted_at",
            [model_id],
        )
        return [AcceptedChange(aware(at), aware(since), who) for at, since, who in rows]

    def accept(self, model_id: int, accepted: AcceptedChange) -> None:
        """Store an accepted change."""
        with self._database.writing() as con:
            con.execute(
                "INSERT INTO detector_accepted VALUES (?, ?, ?, ?)",
                [model_id, accepted.at, accepted.since, accepted.who],
            )

    def evidence(
        self, model_id: int, start: datetime, end: datetime
    ) -> list[tuple[datetime, str, float]]:
        """Return the evidence of each lane in each hour, as a share of the alert level."""
        rows = self._database.query(
            "SELECT hour, lane, evidence FROM detector_evidence "
            "WHERE model = ? AND hour >= ? AND hour < ? ORDER BY hour, lane",
            [model_id, start, end],
        )
        return [(aware(hour), lane, evidence) for hour, lane, evidence in rows]

    def selftest(self, model_id: int) -> dict[str, Any] | None:
        """Return the newest self-test, with its time `at`; None before the first."""
        rows = self._database.query(
            "SELECT body FROM detector_selftests "
            "WHERE model = ? ORDER BY noted_at DESC LIMIT 1",
            [model_id],
        )
        return json.loads(rows[0][0]) if rows else None

    def selftest_times(self) -> dict[int, datetime]:
        """Return the time of each model's newest self-test, by model id."""
        rows = self._database.query(
            "SELECT model, max(noted_at) FROM detector_selftests GROUP BY model"
        )
        return {model: aware(at) for model, at in rows}

    def save_selftest(self, model_id: int, at: datetime, body: dict[str, Any]) -> None:
        """Store the result of a self-test in place of the one before."""
        text = json.dumps({**body, "at": at}, default=datetime.isoformat)
        with self._database.writing() as con:
            con.execute("DELETE FROM detector_selftests WHERE model = ?", [model_id])
            con.execute(
                "INSERT INTO detector_selftests VALUES (?, ?, ?)", [model_id, at, text]
            )


def save_progress(
    con: duckdb.DuckDBPyConnection,
    model_id: int,
    model: str,
    progress: DetectorProgress,
) -> None:
    """Write the result of a run, in the caller's transaction."""
    if progress.again_from is not None:
        rewind(con, model_id, model, progress.again_from)
    fits = [
        (model_id, fit.lane, fit.starts, fit.source, fit.since, fit.body)
        for fit in progress.fits
    ]
    if fits:
        con.executemany("INSERT INTO detector_fits VALUES (?, ?, ?, ?, ?, ?)", fits)
    if progress.states:
        _save_states(con, model_id, progress.states)
    if progress.evidence:
        _save_evidence(con, model_id, progress.evidence)


def _save_states(
    con: duckdb.DuckDBPyConnection,
    model_id: int,
    states: Sequence[tuple[datetime, str]],
) -> None:
    """Replace the states from the first of `states` on, and thin the older ones out."""
    first = states[0][0]
    con.execute(
        "DELETE FROM detector_states WHERE model = ? AND until >= ?", [model_id, first]
    )
    rows = con.execute(
        "SELECT until FROM detector_states WHERE model = ?", [model_id]
    ).fetchall()
    stored = sorted(aware(until) for (until,) in rows)
    newest = states[-1][0]
    for until in stored:
        if not _is_retained(until, newest):
            con.execute(
                "DELETE FROM detector_states WHERE model = ? AND until = ?",
                [model_id, until],
            )
    by_time = dict(states)
    retained = [
        (model_id, until, by_time[until])
        for until in sorted(by_time)
        if _is_retained(until, newest)
    ]
    con.executemany("INSERT INTO detector_states VALUES (?, ?, ?)", retained)


def _is_retained(until: datetime, newest: datetime) -> bool:
    """True for the newest state, and for one each day, later each week."""
    if until == newest:
        return True
    if until.hour:
        return False
    age = newest - until
    return age <= DAILY_RETENTION or (until.weekday() == 0 and age <= WEEKLY_RETENTION)


def _save_evidence(
    con: duckdb.DuckDBPyConnection,
    model_id: int,
    evidence: Sequence[tuple[datetime, str, float]],
) -> None:
    """Replace the evidence of the lanes that have any, from its first hour on."""
    lanes = sorted({lane for _, lane, _ in evidence})
    con.execute(
        "DELETE FROM detector_evidence WHERE model = $model AND hour >= $first "
        "AND lane IN (SELECT unnest($lanes))",
        {
            "model": model_id,
            "first": min(hour for hour, _, _ in evidence),
            "lanes": lanes,
        },
    )
    rows = [
        (model_id, hour.astimezone(UTC).replace(tzinfo=None), lane, value)
        for hour, lane, value in evidence
    ]
    insert_rows(con, "detector_evidence", rows)


def rewind(
    con: duckdb.DuckDBPyConnection, model_id: int, model: str, to: datetime
) -> None:
    """Delete states and evidence after `to`, fits of later hours, and unnotified alerts."""
    delete_alerts(con, model, to, of_detector=True)
    con.execute(
        "DELETE FROM detector_states WHERE model = ? AND until > ?", [model_id, to]
    )
    con.execute(
        "DELETE FROM detector_evidence WHERE model = ? AND hour >= ?", [model_id, to]
    )
    con.execute(
        "DELETE FROM detector_fits "
        "WHERE model = ? AND starts > ? AND source <> 'reference'",
        [model_id, to],
    )


def delete_alerts(
    con: duckdb.DuckDBPyConnection, model: str, since: datetime, of_detector: bool
) -> None:
    """Delete the alerts of the detector, or of the rules, that began at `since` or later.

    One that was notified or acknowledged stays.
    """
    rule = "starts_with(json_extract_string(body, '$.finding.rule'), 'detector.')"
    con.execute(
        "DELETE FROM alerts WHERE model = $model AND since >= $since "
        "AND json_extract_string(body, '$.acknowledged_by') IS NULL "
        f"AND id NOT IN (SELECT alert FROM outbox) AND {rule} = $of_detector",
        {"model": model, "since": since, "of_detector": of_detector},
    )
    con.execute("DELETE FROM transitions WHERE alert NOT IN (SELECT id FROM alerts)")


def delete_detector(con: duckdb.DuckDBPyConnection, model_id: int) -> None:
    """Delete everything of a model: with another reference, its bins mean something else."""
    for table in (
        "detector_fits",
        "detector_states",
        "detector_evidence",
        "detector_accepted",
        "detector_selftests",
    ):
        con.execute(f"DELETE FROM {table} WHERE model = ?", [model_id])
