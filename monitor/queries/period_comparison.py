"""Comparison of two periods: the domain classifier on a sample of the rows of each."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa

from monitor.analysis.domain_classifier import HOUR, PERIOD
from monitor.analysis.training_process import run_training
from monitor.errors import InvalidRequest
from monitor.schema import Feature
from monitor.sql import quote
from monitor.store import Store
from monitor.store.model import Model
from monitor.store.rows.wide_rows import Relation

# of each period
DEFAULT_ROWS = 10_000
MIN_ROWS = 200
# each is shuffled in each fold
MAX_FEATURES = 200

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
    """Return how well a classifier separates at most `rows` rows of each period.

    `without` names features that it must not use. Raises InvalidRequest when there are
    too few rows, or when such a feature is unknown.
    """
    model = store.model(name)
    features = _select_features(model, without)
    samples = []
    for label, (start, end) in enumerate((before, after)):
        sample = _sample_rows(store, model, features, start, end, rows, seed)
        if sample.num_rows < MIN_ROWS:
            raise InvalidRequest(
                f"only {sample.num_rows} rows are stored from "
                f"{start:%Y-%m-%dT%H:%MZ} to {end:%Y-%m-%dT%H:%MZ}; "
                f"at least {MIN_ROWS} are needed"
            )
        labels = pa.array([label] * sample.num_rows, pa.int8())
        samples.append(sample.append_column(PERIOD, labels))
    result = run_training(
        "monitor.analysis.domain_classifier",
        "domain classifier",
        pa.concat_tables(samples),
        seed,
    )
    names = {feature.field: feature.name for feature in features}
    ranked = [{**row, "column": names[row["column"]]} for row in result["features"]]
    return {
        "model": name,
        "before": {"from": before[0], "to": before[1]},
        "after": {"from": after[0], "to": after[1]},
        "seed": seed,
        **result,
        "features": ranked,
    }


def periods_of(
    before: tuple[datetime | None, datetime | None],
    after: tuple[datetime | None, datetime | None],
    now: datetime,
) -> tuple[Period, Period]:
    """Complete two periods: by default the last day, and as long before it.

    Raises InvalidRequest when one is empty or when they overlap.
    """
    after_end = after[1] or now
    after_start = after[0] or after_end - timedelta(days=1)
    before_end = before[1] or after_start
    before_start = before[0] or before_end - (after_end - after_start)
    if after_start >= after_end:
        raise InvalidRequest("`from` must be before `to`")
    if before_start >= before_end:
        raise InvalidRequest("`before_from` must be before `before_to`")
    if before_start < after_end and after_start < before_end:
        raise InvalidRequest(
            "the two periods overlap; end `before_to` where `from` begins, or earlier"
        )
    return (before_start, before_end), (after_start, after_end)


def _select_features(model: Model, without: Collection[str]) -> list[Feature]:
    unknown = set(without) - set(model.schema.by_name)
    if unknown:
        raise InvalidRequest(
            f"`without`: {model.name!r} has no feature {sorted(unknown)[0][:40]!r}"
        )
    features = [
        feature for feature in model.schema.features if feature.name not in without
    ]
    if not 1 <= len(features) <= MAX_FEATURES:
        raise InvalidRequest(
            f"{len(features)} features are left; "
            f"the domain classifier needs 1 to {MAX_FEATURES}; change `without`"
        )
    return features


def _sample_rows(
    store: Store,
    model: Model,
    features: list[Feature],
    start: datetime,
    end: datetime,
    rows: int,
    seed: int,
) -> pa.Table:
    """Draw rows of a period at random: the hour and the features of each."""
    # Columns are called by their keys: a feature's name may be that of another column.
    values = Relation("", model.schema).values(feature.field for feature in features)
    with store.cursor() as con:
        return con.sql(
            f"SELECT epoch(ts)::BIGINT // 3600 AS {quote(HOUR)}{values} "
            f"FROM (SELECT * FROM {model.events} WHERE ts >= $start AND ts < $end) "
            f"USING SAMPLE reservoir({rows} ROWS) REPEATABLE ({seed})",
            params={
                "start": start.replace(tzinfo=None),
                "end": end.replace(tzinfo=None),
            },
        ).to_arrow_table()
