"""What each feature is worth: as configured, else as computed from the stored rows and kept."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from monitor.config import Config
from monitor.domain_classifier import HOUR
from monitor.errors import InvalidRequest
from monitor.importance import TARGET
from monitor.sql import quote
from monitor.store import Store
from monitor.store.events import Model
from monitor.store.packed import Relation
from monitor.views.training import trained

ROWS = 20_000
FEWEST = 200
MOST_FEATURES = 200  # each is shuffled in each fold
LEAST_SCORE = 0.01  # with less there is nothing that a feature could be worth


def importances(store: Store, config: Config, name: str) -> Mapping[str, float]:
    """The share of each feature by name: configured, else computed and kept, else nothing. One that is not in it is worth 0."""
    given = config.model(name).importance
    total = sum(given.values())
    if total:
        return {column: share / total for column, share in given.items()}
    kept = kept_importance(store, name)
    return {one["column"]: one["share"] for one in kept["features"]} if kept else {}


def kept_importance(store: Store, name: str) -> dict[str, Any] | None:
    """What was computed last; None before."""
    found = store.query("SELECT body FROM importances WHERE model = ?", [store.model(name).id])
    return json.loads(found[0][0]) if found else None


def compute_importance(store: Store, name: str, of: str | None, rows: int, seed: int, now: datetime) -> dict[str, Any]:
    """Train on at most `rows` stored rows, keep what each feature is worth in telling labels or predictions, and return it.

    `of` is `labels`, `predictions`, or None for the labels if there are enough. Raises InvalidRequest.
    """
    model = store.model(name)
    features = model.schema.features
    if not 1 <= len(features) <= MOST_FEATURES:
        raise InvalidRequest(f"{name!r} has {len(features)} features; importance takes 1 to {MOST_FEATURES}")
    labelled = None if of == "predictions" else _sample(store, model, "labels", rows, seed)
    if of is None:
        of = "labels" if labelled is not None and labelled.num_rows >= FEWEST else "predictions"
    sample = labelled if of == "labels" and labelled is not None else _sample(store, model, "predictions", rows, seed)
    if sample.num_rows < FEWEST:
        raise InvalidRequest(f"only {sample.num_rows} rows with {of} are stored; at least {FEWEST} are needed")
    found = trained("monitor.importance", "importance", sample, seed)
    if found["score"] < LEAST_SCORE:
        raise InvalidRequest(
            f"the features say nothing of the {of} (score {found['score']:.3f} of 1 on {found['rows']} rows), so none is worth more than another"
        )
    names = {f.field: f.name for f in features}
    body = {
        "model": name,
        "of": of,
        "at": now,
        "seed": seed,
        "score": found["score"],
        "rows": found["rows"],
        "features": [{**one, "column": names[one["column"]]} for one in found["features"]],
    }
    with store.writing() as con:
        con.execute("DELETE FROM importances WHERE model = ?", [model.id])
        text = json.dumps(body, default=datetime.isoformat)
        con.execute(
            "INSERT INTO importances VALUES (?, ?, ?)", [model.id, now.astimezone(UTC).replace(tzinfo=None), text]
        )
    return body


def _sample(store: Store, model: Model, of: str, rows: int, seed: int) -> pa.Table:
    chosen = Relation("", model.schema).values(f.field for f in model.schema.features)
    target = _target(model, of)
    source = f"SELECT * FROM {model.events} WHERE status < 500"
    if of == "labels":
        joined = f"(SELECT event_id, label, number FROM {model.labels} WHERE joined) l"
        source = f"SELECT e.*, l.label, l.number FROM {model.events} e JOIN {joined} ON l.event_id = e.event_id WHERE status < 500"
    with store.cursor() as con:
        return con.sql(
            f"SELECT {target} AS {quote(TARGET)}, epoch(ts)::BIGINT // 3600 AS {quote(HOUR)}{chosen} FROM "
            f"(SELECT * FROM ({source}) WHERE {target} IS NOT NULL) USING SAMPLE reservoir({rows} ROWS) REPEATABLE ({seed})"
        ).to_arrow_table()


def _target(model: Model, of: str) -> str:
    if of == "labels":
        return "number" if model.task == "regression" else "label"
    return "predicted_class" if model.schema.prediction in ("class", "probabilities") else "prediction"
