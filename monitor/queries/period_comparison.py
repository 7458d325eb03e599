"""Which features tell two periods apart: a sample of the raw rows of each, and the domain classifier in its own process."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

import duckdb
import pyarrow as pa

from monitor.analysis.domain_classifier import HOUR, PERIOD
from monitor.analysis.training_process import run_training
from monitor.errors import InvalidRequest
from monitor.schema import Feature
from monitor.sql import quote
from monitor.store import Store
from monitor.store.model import Model
from monitor.store.rows.wide_rows import Relation

DEFAULT_ROWS = 10_000  # of each period
MIN_ROWS = 200
MAX_FEATURES = 200  # each is shuffled in each fold

Period = tuple[datetime, datetime]


def compare_periods(
    store: Store,
    name: str,
    before: Period,
    after: Period,
    without: Collection[str] = (),
    rows: int = DEFAULT_ROWS,
    seed: int = 0,
) -> dict[str, Any]:
    """The answer of the domain classifier on at most `rows` rows of each period. Raises InvalidRequest when there are too
    few, or a feature `without` which it is to be done is unknown."""
    model = store.model(name)
    unknown = set(without) - set(model.schema.by_name)
    if unknown:
        raise InvalidRequest(f"{name!r} has no feature {sorted(unknown)[0][:40]!r}")
    features = [f for f in model.schema.features if f.name not in without]
    if not features or len(features) > MAX_FEATURES:
        raise InvalidRequest(
            f"{len(features)} features are left; the domain classifier takes 1 to {MAX_FEATURES}"
        )
    parts = [
        _sample(store, model, features, period, rows, seed)
        for period in (before, after)
    ]
    for part, (start, end) in zip(parts, (before, after), strict=True):
        if part.num_rows < MIN_ROWS:
            raise InvalidRequest(
                f"only {part.num_rows} rows are stored from {start:%Y-%m-%dT%H:%MZ} to {end:%Y-%m-%dT%H:%MZ}; at least {MIN_ROWS} are needed"
            )
    numbered = [
        part.append_column(PERIOD, pa.array([p] * part.num_rows, pa.int8()))
        for p, part in enumerate(parts)
    ]
    found = run_training(
        "monitor.analysis.domain_classifier",
        "domain classifier",
        pa.concat_tables(numbered),
        seed,
    )
    names = {f.field: f.name for f in features}
    found["features"] = [
        {**one, "column": names[one["column"]]} for one in found["features"]
    ]
    periods = {"before": before, "after": after}
    return {
        "model": name,
        **{k: {"from": s, "to": e} for k, (s, e) in periods.items()},
        "seed": seed,
        **found,
    }


def _sample(
    store: Store,
    model: Model,
    features: list[Feature],
    period: Period,
    rows: int,
    seed: int,
) -> pa.Table:
    relation = Relation("", model.schema)
    # under their keys: names may be anything, also those of the two columns beside them
    chosen = relation.values(f.field for f in features)
    with store.cursor() as con:
        found: duckdb.DuckDBPyRelation = con.sql(
            f"SELECT epoch(ts)::BIGINT // 3600 AS {quote(HOUR)}{chosen} FROM (SELECT * FROM {model.events} "
            f"WHERE ts >= $start AND ts < $end) USING SAMPLE reservoir({rows} ROWS) REPEATABLE ({seed})",
            params={
                "start": period[0].replace(tzinfo=None),
                "end": period[1].replace(tzinfo=None),
            },
        )
        return found.to_arrow_table()


def periods_of(
    before: tuple[datetime | None, datetime | None],
    after: tuple[datetime | None, datetime | None],
    now: datetime,
) -> tuple[Period, Period]:
    """The two periods, as far as they were given: the last day, and as long before it.

    Raises InvalidRequest.
    """
    end = after[1] or now
    start = after[0] or end - timedelta(days=1)
    until = before[1] or start
    begin = before[0] or until - (end - start)
    for name, (first, last) in (("", (start, end)), ("before_", (begin, until))):
        if first >= last:
            raise InvalidRequest(f"`{name}from` must be before `{name}to`")
    if begin < end and start < until:
        raise InvalidRequest(
            "the two periods overlap; end `before_to` where `from` begins, or earlier"
        )
    return (begin, until), (start, end)
