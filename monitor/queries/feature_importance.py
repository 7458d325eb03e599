"""What each feature is worth: as configured, else as computed from the stored rows and kept."""

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from monitor.analysis.domain_classifier import HOUR
from monitor.analysis.importance import TARGET
from monitor.analysis.model_file import STORED
from monitor.analysis.training_process import run_training
from monitor.config.config import Config
from monitor.errors import InvalidRequest
from monitor.schema import Feature
from monitor.sql import quote
from monitor.store import Store
from monitor.store.model import Model
from monitor.store.rows.wide_rows import Relation

DEFAULT_ROWS = 20_000
MIN_ROWS = 200
MAX_FEATURES = 200  # each is shuffled in each fold
MIN_SCORE = 0.01  # with less there is nothing that a feature could be worth


def importances(store: Store, config: Config, name: str) -> Mapping[str, float]:
    """The share of each feature by name: configured, else computed and kept, else nothing.

    One that is not in it is worth 0.
    """
    given = config.model(name).importance
    total = sum(given.values())
    if total:
        return {column: share / total for column, share in given.items()}
    kept = stored_importance(store, name)
    return {one["column"]: one["share"] for one in kept["features"]} if kept else {}


def stored_importance(store: Store, name: str) -> dict[str, Any] | None:
    """What was computed last; None before."""
    found = store.query(
        "SELECT body FROM importances WHERE model = ?", [store.model(name).id]
    )
    return json.loads(found[0][0]) if found else None


@dataclass(frozen=True)
class ModelFile:
    """A model as ONNX, the features it takes in their order (all as logged, if empty), and the version that it is (the newest,
    if empty)."""

    content: bytes
    features: tuple[str, ...] = ()
    version: str = ""


def compute_importance(
    store: Store,
    name: str,
    of: str | None,
    rows: int,
    seed: int,
    now: datetime,
    file: ModelFile | None = None,
) -> dict[str, Any]:
    """What each feature is worth in telling labels or predictions, from at most `rows` stored rows; it is kept.

    `of` is `labels`, `predictions`, or None for the labels if there are enough. Told by
    the model in `file` itself, else by trees that are trained on the rows. Raises
    InvalidRequest.
    """
    model = store.model(name)
    features = _features(model, file.features if file else ())
    asked = _Asked(
        store,
        model,
        features,
        rows,
        seed,
        file,
        _version(store, model, file) if file else "",
    )
    labelled = None if of == "predictions" else asked.sample("labels")
    if of is None:
        of = (
            "labels"
            if labelled is not None and labelled.num_rows >= MIN_ROWS
            else "predictions"
        )
    sample = (
        labelled
        if of == "labels" and labelled is not None
        else asked.sample("predictions")
    )
    if sample.num_rows < MIN_ROWS:
        where = f" of version {asked.version!r}" if asked.version else ""
        raise InvalidRequest(
            f"only {sample.num_rows} rows{where} with {of} are stored; at least {MIN_ROWS} are needed"
        )
    found = asked.answer(sample)
    if found["score"] < MIN_SCORE:
        raise InvalidRequest(
            f"the features say nothing of the {of} (score {found['score']:.3f} of 1 on {found['rows']} rows), so none is worth more than another"
        )
    names = {f.field: f.name for f in features}
    body = {
        "model": name,
        "of": of,
        "by": "model" if file else "trees",
        "version": asked.version,
        "at": now,
        "seed": seed,
        "score": found["score"],
        "agreement": found.get("agreement"),
        "rows": found["rows"],
        "features": [
            {**one, "column": names[one["column"]]} for one in found["features"]
        ],
    }
    with store.writing() as con:
        con.execute("DELETE FROM importances WHERE model = ?", [model.id])
        text = json.dumps(body, default=datetime.isoformat)
        con.execute(
            "INSERT INTO importances VALUES (?, ?, ?)",
            [model.id, now.astimezone(UTC).replace(tzinfo=None), text],
        )
    return body


@dataclass(frozen=True)
class _Asked:
    """What is to be told from which rows, and by what."""

    store: Store
    model: Model
    features: Sequence[Feature]
    rows: int
    seed: int
    file: ModelFile | None
    version: str

    def answer(self, sample: pa.Table) -> dict[str, Any]:
        """What the process that does the work says."""
        if self.file is None:
            return run_training(
                "monitor.analysis.importance", "importance", sample, self.seed
            )
        called = json.dumps({f.field: f.name for f in self.features})
        with tempfile.NamedTemporaryFile(suffix=".onnx") as kept:
            kept.write(self.file.content)
            kept.flush()
            return run_training(
                "monitor.analysis.model_file",
                "importance",
                sample,
                self.seed,
                kept.name,
                called,
            )

    def sample(self, of: str) -> pa.Table:
        """Rows with the hour and the features; with the target, and for a model file what it had answered."""
        model = self.model
        chosen = Relation("", model.schema).values(f.field for f in self.features)
        answered = (
            "predicted_class"
            if model.schema.prediction in ("class", "probabilities")
            else "prediction"
        )
        target = answered
        if of == "labels":
            is_number = model.task == "regression" or (
                self.file is not None and answered == "prediction"
            )
            target = "number" if is_number else "label"
        wanted = (
            [f"{target} AS {quote(TARGET)}"]
            if self.file is None or of == "labels"
            else []
        )
        wanted += [f"{answered} AS {quote(STORED)}"] if self.file is not None else []
        source = f"SELECT * FROM {model.events} WHERE status < 500"
        if of == "labels":
            joined = (
                f"(SELECT event_id, label, number FROM {model.labels} WHERE joined) l"
            )
            source = f"SELECT e.*, l.label, l.number FROM {model.events} e JOIN {joined} ON l.event_id = e.event_id WHERE status < 500"
        condition = (
            f"{target} IS NOT NULL AND {answered} IS NOT NULL"
            if self.file is not None
            else f"{target} IS NOT NULL"
        )
        params = []
        if self.version:
            condition, params = f"{condition} AND version = ?", [self.version]
        with self.store.cursor() as con:
            return con.sql(
                f"SELECT {', '.join(wanted)}, epoch(ts)::BIGINT // 3600 AS {quote(HOUR)}{chosen} FROM "
                f"(SELECT * FROM ({source}) WHERE {condition}) USING SAMPLE reservoir({self.rows} ROWS) REPEATABLE ({self.seed})",
                params=params,
            ).to_arrow_table()


def _features(model: Model, wanted: Sequence[str]) -> list[Feature]:
    """The features to be told from, in the order asked for, else all.

    Raises InvalidRequest.
    """
    by_name = model.schema.by_name
    unknown = next((name for name in wanted if name not in by_name), None)
    if unknown is not None:
        raise InvalidRequest(
            f"{model.name!r} has no feature {unknown!r}; known: {', '.join(list(by_name)[:20])}"
        )
    features = [by_name[name] for name in dict.fromkeys(wanted)] or list(
        model.schema.features
    )
    if not 1 <= len(features) <= MAX_FEATURES:
        raise InvalidRequest(
            f"{model.name!r} has {len(features)} features; importance takes 1 to {MAX_FEATURES}"
        )
    return features


def _version(store: Store, model: Model, file: ModelFile) -> str:
    if file.version:
        return file.version
    newest = store.query(f"SELECT version FROM {model.events} ORDER BY ts DESC LIMIT 1")
    return str(newest[0][0]) if newest else ""
