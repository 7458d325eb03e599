"""Feature importance of a model: configured, or computed from stored rows."""

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
# each is shuffled in each fold
MAX_FEATURES = 200
# of a surrogate model; below it no feature can be important
MIN_SCORE = 0.01
MAX_NAMES_SHOWN = 20


@dataclass(frozen=True)
class ModelFile:
    """A model as ONNX, its inputs in order, and its version.

    Without `features` they are all features as logged; without `version` it is the
    version of the newest event.
    """

    content: bytes
    features: tuple[str, ...] = ()
    version: str = ""


def feature_shares(store: Store, config: Config, name: str) -> Mapping[str, float]:
    """Return the share of importance of each feature, by name.

    It is the configured one, else the stored one. Empty if there is neither; a feature
    that is not in it has no importance.
    """
    configured = config.model(name).importance
    total = sum(configured.values())
    if total:
        return {column: weight / total for column, weight in configured.items()}
    importance = stored_importance(store, name)
    if importance is None:
        return {}
    return {row["column"]: row["share"] for row in importance["features"]}


def stored_importance(store: Store, name: str) -> dict[str, Any] | None:
    """Return the importance that was computed last; None before."""
    rows = store.query(
        "SELECT body FROM importances WHERE model = ?", [store.model(name).id]
    )
    return json.loads(rows[0][0]) if rows else None


def compute_importance(
    store: Store,
    name: str,
    of: str | None,
    rows: int,
    seed: int,
    now: datetime,
    file: ModelFile | None = None,
) -> dict[str, Any]:
    """Compute and store the importance of each feature, from at most `rows` rows.

    `of` is `labels`, `predictions`, or None for the labels if there are enough. The
    model in `file` is measured; without it a surrogate model is trained on the rows.
    Raises InvalidRequest when there are too few rows or nothing can be predicted.
    """
    model = store.model(name)
    features = _select_features(model, file.features if file else ())
    version = _version_of(store, model, file) if file else ""
    source = _RowSource(store, model, features, version, rows, seed, file is not None)
    of, sample = _draw_sample(source, of)
    result = _measure(sample, features, seed, file)
    if result["score"] < MIN_SCORE:
        raise InvalidRequest(
            f"the features do not predict the {of} "
            f"(score {result['score']:.3f} of 1 on {result['rows']} rows), "
            "so none is more important than another"
        )
    names = {feature.field: feature.name for feature in features}
    body = {
        "model": name,
        "of": of,
        "by": "model" if file else "trees",
        "version": version,
        "at": now,
        "seed": seed,
        "score": result["score"],
        "agreement": result.get("agreement"),
        "rows": result["rows"],
        "features": [
            {**row, "column": names[row["column"]]} for row in result["features"]
        ],
    }
    _save(store, model, body, now)
    return body


@dataclass(frozen=True)
class _RowSource:
    """Stored rows of a model to draw samples from, at most `rows` each.

    `for_model_file` adds the stored prediction, to compare it with the output of the
    model file.
    """

    store: Store
    model: Model
    features: Sequence[Feature]
    version: str
    rows: int
    seed: int
    for_model_file: bool

    @property
    def output(self) -> str:
        """The column of stored predictions."""
        is_class = self.model.schema.prediction in ("class", "probabilities")
        return "predicted_class" if is_class else "prediction"

    def sample_labels(self) -> pa.Table:
        """Draw rows that have a label, with the label as target."""
        model = self.model
        is_number = model.task == "regression" or (
            self.for_model_file and self.output == "prediction"
        )
        target = "number" if is_number else "label"
        labels = f"(SELECT event_id, label, number FROM {model.labels} WHERE joined) l"
        source = (
            f"SELECT e.*, l.label, l.number FROM {model.events} e "
            f"JOIN {labels} ON l.event_id = e.event_id WHERE status < 500"
        )
        return self._sample(source, target, [f"{target} AS {quote(TARGET)}"])

    def sample_predictions(self) -> pa.Table:
        """Draw rows of successful requests, with the prediction as target."""
        source = f"SELECT * FROM {self.model.events} WHERE status < 500"
        targets = [] if self.for_model_file else [f"{self.output} AS {quote(TARGET)}"]
        return self._sample(source, self.output, targets)

    def _sample(self, source: str, target: str, columns: list[str]) -> pa.Table:
        """Draw rows with some columns, the hour, and the features by key."""
        conditions = [f"{target} IS NOT NULL"]
        params = []
        if self.for_model_file:
            columns = [*columns, f"{self.output} AS {quote(STORED)}"]
            conditions.append(f"{self.output} IS NOT NULL")
        if self.version:
            conditions.append("version = ?")
            params.append(self.version)
        hour = f"epoch(ts)::BIGINT // 3600 AS {quote(HOUR)}"
        relation = Relation("", self.model.schema)
        values = relation.values(feature.field for feature in self.features)
        with self.store.cursor() as con:
            return con.sql(
                f"SELECT {', '.join([*columns, hour])}{values} "
                f"FROM (SELECT * FROM ({source}) WHERE {' AND '.join(conditions)}) "
                f"USING SAMPLE reservoir({self.rows} ROWS) REPEATABLE ({self.seed})",
                params=params,
            ).to_arrow_table()


def _draw_sample(source: _RowSource, of: str | None) -> tuple[str, pa.Table]:
    """Return the kind of target and the sample. Raises InvalidRequest."""
    if of == "predictions":
        sample = source.sample_predictions()
    else:
        sample = source.sample_labels()
        if of is None and sample.num_rows < MIN_ROWS:
            of, sample = "predictions", source.sample_predictions()
    of = of or "labels"
    if sample.num_rows < MIN_ROWS:
        version = f" of version {source.version!r}" if source.version else ""
        raise InvalidRequest(
            f"only {sample.num_rows} rows{version} with {of} are stored; "
            f"at least {MIN_ROWS} are needed"
        )
    return of, sample


def _measure(
    sample: pa.Table, features: Sequence[Feature], seed: int, file: ModelFile | None
) -> dict[str, Any]:
    """Return the result of the process that shuffles the features."""
    if file is None:
        return run_training("monitor.analysis.importance", "importance", sample, seed)
    names = {feature.field: feature.name for feature in features}
    with tempfile.NamedTemporaryFile(suffix=".onnx") as onnx:
        onnx.write(file.content)
        onnx.flush()
        return run_training(
            "monitor.analysis.model_file",
            "importance",
            sample,
            seed,
            onnx.name,
            json.dumps(names),
        )


def _save(store: Store, model: Model, body: dict[str, Any], now: datetime) -> None:
    text = json.dumps(body, default=datetime.isoformat)
    at = now.astimezone(UTC).replace(tzinfo=None)
    with store.writing() as con:
        con.execute("DELETE FROM importances WHERE model = ?", [model.id])
        con.execute("INSERT INTO importances VALUES (?, ?, ?)", [model.id, at, text])


def _select_features(model: Model, names: Sequence[str]) -> list[Feature]:
    """Return the named features in this order; all without names.

    Raises InvalidRequest.
    """
    by_name = model.schema.by_name
    for name in names:
        if name not in by_name:
            known = ", ".join(list(by_name)[:MAX_NAMES_SHOWN])
            raise InvalidRequest(
                f"`features`: {model.name!r} has no feature {name!r}; known: {known}"
            )
    features = [by_name[name] for name in dict.fromkeys(names)]
    features = features or list(model.schema.features)
    if not 1 <= len(features) <= MAX_FEATURES:
        raise InvalidRequest(
            f"{model.name!r} has {len(features)} features; "
            f"importance needs 1 to {MAX_FEATURES}: name some as `features`"
        )
    return features


def _version_of(store: Store, model: Model, file: ModelFile) -> str:
    """Return the version of a model file; without one that of the newest event."""
    if file.version:
        return file.version
    rows = store.query(f"SELECT version FROM {model.events} ORDER BY ts DESC LIMIT 1")
    return str(rows[0][0]) if rows else ""
