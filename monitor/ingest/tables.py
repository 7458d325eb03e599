"""Events as columns: Arrow tables in the form of a model's events table, from parsed events or from a foreign table."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from monitor import type_mismatch
from monitor.errors import PayloadError
from monitor.event import (
    MAX_ID_BYTES,
    MAX_NAME,
    MAX_TEXT,
    RAW_SAMPLE,
    Event,
    Refusal,
    Refused,
    TimeBounds,
    derived_id,
    label_text,
    make_id,
)
from monitor.ingest import embedding_columns
from monitor.ingest.features import OWN, columns_of, kind_of, stored, type_of, values_of
from monitor.schema import (
    FeatureAllowance,
    ModelSchema,
    PredictionKind,
    split_prediction,
)
from monitor.store.rows.events import arrow_schema
from monitor.store.rows.line_reader import tags_text
from monitor.type_mismatch import TypeMismatch

LABEL_KEYS = ("event_id", "label", "ts")


@dataclass(frozen=True)
class EventTable:
    """Rows that fit a model's events table, the schema they fit, the records left out, and values of the wrong type."""

    table: pa.Table
    schema: ModelSchema
    refusals: list[Refusal]
    mistyped: list[TypeMismatch] = field(default_factory=list)


def from_events(events: Sequence[tuple[int, Event]], schema: ModelSchema) -> EventTable:
    """Parsed events (with their line) of one model as columns; those whose prediction is of a foreign kind are refused.

    A value of the wrong type in a numeric feature becomes NaN: the row is kept, the
    value is counted as invalid.
    """
    columns: dict[str, list[Any]] = {name: [] for name in arrow_schema(schema).names}
    refusals, kept = [], []
    for line, event in events:
        try:
            number, class_ = split_prediction(event.prediction, schema.prediction)
        except Refused as reason:
            refusals.append(
                Refusal(line, event.event_id, str(reason), model=schema.model)
            )
            continue
        kept.append(event.features)
        values = {
            "event_id": event.event_id,
            "ts": event.ts.astimezone(UTC).replace(tzinfo=None),
            "version": event.version,
            "prediction": number,
            "predicted_class": class_,
            "latency_ms": event.latency_ms,
            "status": event.status,
            "error": event.error,
            "tags": tags_text(event.tags),
            **{
                f.field: stored(event.features.get(f.name), f.kind)
                for f in schema.features
            },
        }
        for name, column in columns.items():
            column.append(values[name])
    found = type_mismatch.of_events(kept, schema.features)
    return EventTable(
        pa.table(columns, schema=arrow_schema(schema)), schema, refusals, found
    )


def from_table(
    table: pa.Table,
    schema: ModelSchema,
    now: datetime,
    bounds: TimeBounds,
    lines: Sequence[int] | None = None,
    room: FeatureAllowance | None = None,
    key: str | None = None,
) -> EventTable:
    """A foreign table of one model as columns, checked column by column; bad rows are refused, good ones beside them kept.

    Known columns are event_id, version, ts, prediction, latency_ms, status and error;
    every other one is a feature (a leading "features." is dropped), a list of numbers
    an embedding. Where there is no `room` for a new feature, the rows that have a value
    of it are refused. `lines` are the line numbers of the rows, from 1 by default. A row
    without an id gets one that is derived from its line and the Idempotency-Key `key`.
    """
    if "ts" not in table.column_names:
        raise PayloadError(
            f"there is no column ts; found: {', '.join(table.column_names[:20])}; map one with --timestamp"
        )
    bad = _Bad(table, lines)
    table = embedding_columns.replace_embeddings(table, bad.mark)
    features = columns_of(table)
    kinds = {
        name: kind
        for name, column in features.items()
        if (kind := kind_of(table[column])) is not None
    }
    room = room or FeatureAllowance()
    for name in [name for name in kinds if name not in schema.by_name][room.features :]:
        del kinds[name]
        bad.mark(pc.is_valid(table[features[name]]), partial(_no_room, room, name))
    schema = schema.extended(kinds, _prediction_kind(table))
    ids = _ids(table, bad, partial(_new_id, key))
    ts = _times(table["ts"], bad, now, bounds)
    columns: dict[str, Any] = {
        "event_id": ids,
        "ts": ts,
        "version": _texts(table, "version", bad, MAX_NAME).fill_null(""),
        "latency_ms": _numbers(table, "latency_ms", bad, 0, 1e12),
        "status": _numbers(table, "status", bad, 0, 999)
        .fill_null(200)
        .cast(pa.int16(), safe=False),
        "error": _texts(table, "error", bad, MAX_TEXT),
        "tags": pa.nulls(table.num_rows, pa.string()),
        **_predictions(table, schema, bad),
    }
    for feature in schema.features:
        column = features.get(feature.name)
        columns[feature.field] = (
            values_of(table[column], feature.kind)
            if column
            else pa.nulls(table.num_rows, type_of(feature.kind))
        )
    shaped = (
        pa.table(columns).select(arrow_schema(schema).names).cast(arrow_schema(schema))
    )
    if not bad.reasons:
        return EventTable(
            shaped,
            schema,
            [],
            type_mismatch.of_columns(table, features, schema.features),
        )
    good = bad.good()
    found = type_mismatch.of_columns(table.filter(good), features, schema.features)
    return EventTable(shaped.filter(good), schema, bad.refusals(schema.model), found)


def _no_room(room: FeatureAllowance, name: str, _row: int) -> str:
    return room.refusal(name)


def reference_from_table(
    table: pa.Table,
    schema: ModelSchema,
    now: datetime,
    room: FeatureAllowance | None = None,
) -> EventTable:
    """Reference rows as columns, with `label` (text, null where unknown). Times may be any, or absent.

    Raises PayloadError when a row cannot be used: a reference is a whole, it is not
    taken in parts.
    """
    if "ts" not in table.column_names:
        table = table.append_column(
            "ts", pa.array([now] * table.num_rows, pa.timestamp("us", "UTC"))
        )
    labels = (
        table["label"].to_pylist()
        if "label" in table.column_names
        else [None] * table.num_rows
    )
    anytime = TimeBounds(now - datetime(1970, 1, 1, tzinfo=UTC), timedelta(days=1))
    without_ids = table.drop_columns(
        [c for c in ("event_id",) if c in table.column_names]
    )
    shaped = from_table(without_ids, schema, now, anytime, room=room)
    if shaped.refusals:
        first = shaped.refusals[0]
        raise PayloadError(
            f"{len(shaped.refusals)} rows of the reference are unusable; line {first.line}: {first.reason}"
        )
    texts = pa.array([label_text(v) for v in labels], pa.string())
    return EventTable(shaped.table.append_column("label", texts), shaped.schema, [])


def labels_from_table(
    table: pa.Table,
    model: str,
    now: datetime,
    bounds: TimeBounds,
    lines: Sequence[int] | None = None,
) -> tuple[pa.Table, list[Refusal]]:
    """Labels (event_id, label, ts) of one model from a foreign table; ts defaults to now."""
    for needed in ("event_id", "label"):
        if needed not in table.column_names:
            raise PayloadError(
                f"there is no column {needed}; found: {', '.join(table.column_names[:20])}"
            )
    bad = _Bad(table, lines, labels=True)
    ids = _ids(table, bad)
    labels = pa.array([label_text(v) for v in table["label"].to_pylist()], pa.string())
    bad.mark(
        pc.is_null(labels),
        lambda i: "`label` is missing or not a number, text or boolean",
    )
    if "ts" in table.column_names:
        ts = _times(table["ts"], bad, now, bounds)
    else:
        ts = pa.array(
            [now.astimezone(UTC).replace(tzinfo=None)] * table.num_rows,
            pa.timestamp("us"),
        )
    return pa.table({"event_id": ids, "label": labels, "ts": ts}).filter(
        bad.good()
    ), bad.refusals(model)


class _Bad:
    """Which rows of a table are refused, and why: the first reason counts."""

    def __init__(
        self, table: pa.Table, lines: Sequence[int] | None, labels: bool = False
    ) -> None:
        self.table, self.labels = table, labels
        self.lines = lines or range(1, table.num_rows + 1)
        self.reasons: dict[int, str] = {}

    def mark(self, where: pa.Array, reason: Callable[[int], str]) -> None:
        if isinstance(where, pa.ChunkedArray):
            where = where.combine_chunks()
        for i in pc.indices_nonzero(pc.fill_null(where, False)).to_pylist():
            self.reasons.setdefault(i, reason(i))

    def good(self) -> pa.Array:
        mask = [True] * self.table.num_rows
        for i in self.reasons:
            mask[i] = False
        return pa.array(mask, pa.bool_())

    def refusals(self, model: str) -> list[Refusal]:
        found = []
        for i, reason in sorted(self.reasons.items()):
            row = self.table.slice(i, 1).to_pylist()[0]
            raw = self._raw(row, model)[:RAW_SAMPLE]
            found.append(
                Refusal(
                    self.lines[i],
                    _short_id(row.get("event_id")),
                    reason,
                    raw,
                    model,
                )
            )
        return found

    def _raw(self, row: dict[str, Any], model: str) -> str:
        """A row as the JSON that could be sent in its place."""
        keys = LABEL_KEYS if self.labels else OWN
        record = {
            "model": model,
            **{k: v for k, v in row.items() if k in keys and v is not None},
        }
        if not self.labels:
            record["features"] = {
                k.removeprefix("features."): v for k, v in row.items() if k not in OWN
            }
        return json.dumps(record, ensure_ascii=False, default=str)


def _prediction_kind(table: pa.Table) -> PredictionKind:
    if (
        "prediction" not in table.column_names
        or table["prediction"].null_count == table.num_rows
    ):
        return "unknown"
    return "number" if kind_of(table["prediction"]) == "numeric" else "class"


def _predictions(
    table: pa.Table, schema: ModelSchema, bad: _Bad
) -> dict[str, pa.Array]:
    n = table.num_rows
    number, class_ = pa.nulls(n, pa.float64()), pa.nulls(n, pa.string())
    if "prediction" not in table.column_names:
        return {"prediction": number, "predicted_class": class_}
    column = table["prediction"].combine_chunks()
    if schema.prediction == "class":
        class_ = pa.array([label_text(v) for v in column.to_pylist()], pa.string())
    elif schema.prediction == "number":
        number = values_of(column, "numeric")
        wrong = pc.and_(
            pc.is_valid(column), pc.invert(pc.fill_null(pc.is_finite(number), False))
        )
        bad.mark(
            wrong,
            lambda i: (
                f"`prediction` is {str(column[i].as_py())[:40]!r}; this model's predictions are finite numbers"
            ),
        )
        number = pc.if_else(pc.is_finite(number), number, None)
    elif column.null_count < n:
        bad.mark(
            pc.is_valid(column),
            lambda i: "`prediction` must be an object of class: probability; send JSON",
        )
    return {"prediction": number, "predicted_class": class_}


def _ids(
    table: pa.Table, bad: _Bad, new_id: Callable[[int], str] | None = None
) -> pa.Array:
    """Return the ids of the rows; those that are missing are made by `new_id` of the line.

    Without `new_id` a row whose id is missing is refused.
    """
    named = "event_id" in table.column_names
    ids = table["event_id"].combine_chunks() if named else pa.nulls(table.num_rows)
    if not pa.types.is_string(ids.type):
        ids = pa.array([label_text(v) for v in ids.to_pylist()], pa.string())
    bad.mark(
        pc.greater(pc.binary_length(ids), MAX_ID_BYTES),
        lambda i: f"`event_id` has more than {MAX_ID_BYTES} bytes",
    )
    bad.mark(pc.equal(ids, ""), lambda i: "`event_id` is empty")
    if not ids.null_count:
        return ids
    if new_id is None:
        bad.mark(pc.is_null(ids), lambda i: "`event_id` is missing")
        return ids
    values = [
        new_id(line) if id_ is None else id_
        for line, id_ in zip(bad.lines, ids.to_pylist(), strict=True)
    ]
    return pa.array(values, pa.string())


def _new_id(key: str | None, line: int) -> str:
    return make_id() if key is None else derived_id(key, line, b"")


def _times(
    column: pa.ChunkedArray, bad: _Bad, now: datetime, bounds: TimeBounds
) -> pa.Array:
    values = column.combine_chunks()
    if pa.types.is_timestamp(values.type):
        ts = values.cast(pa.timestamp("us", values.type.tz), safe=False)
        ts = (
            ts.cast(pa.timestamp("us", "UTC")).cast(pa.timestamp("us"))
            if values.type.tz
            else ts
        )
        bad.mark(pc.is_null(ts), lambda i: "`ts` is missing")
    else:
        ts = pa.array(
            [_time_or_none(v) for v in values.to_pylist()], pa.timestamp("us")
        )
        bad.mark(
            pc.is_null(ts),
            lambda i: (
                f"`ts` {str(values[i].as_py())[:40]!r} is not a time, e.g. 2026-11-22T09:30:00Z"
            ),
        )
    earliest, latest = (t.replace(tzinfo=None) for t in bounds.around(now))
    outside = pc.or_(
        pc.less(ts, pa.scalar(earliest, ts.type)),
        pc.greater(ts, pa.scalar(latest, ts.type)),
    )
    bad.mark(
        outside,
        lambda i: (
            bounds.reason(ts[i].as_py().replace(tzinfo=UTC), now)
            or "`ts` is out of range"
        ),
    )
    return ts


def _time_or_none(value: Any) -> datetime | None:
    if not isinstance(value, str):
        return None
    try:
        ts = datetime.fromisoformat(value.strip())
        # a table's column has one time zone for all rows: without an offset it is UTC
        return ts.astimezone(UTC).replace(tzinfo=None) if ts.tzinfo else ts
    except (ValueError, OverflowError):
        return None


def _texts(table: pa.Table, name: str, bad: _Bad, longest: int) -> pa.Array:
    if name not in table.column_names:
        return pa.nulls(table.num_rows, pa.string())
    values = table[name].combine_chunks()
    if not pa.types.is_string(values.type):
        values = pa.array([label_text(v) for v in values.to_pylist()], pa.string())
    bad.mark(
        pc.greater(pc.utf8_length(values), longest),
        lambda i: f"`{name}` has more than {longest} characters",
    )
    return values


def _numbers(
    table: pa.Table, name: str, bad: _Bad, low: float, high: float
) -> pa.Array:
    if name not in table.column_names:
        return pa.nulls(table.num_rows, pa.float64())
    column = table[name].combine_chunks()
    values = values_of(column, "numeric")
    fits = pc.and_(pc.greater_equal(values, low), pc.less_equal(values, high))
    wrong = pc.and_(pc.is_valid(column), pc.invert(pc.fill_null(fits, False)))
    bad.mark(
        wrong,
        lambda i: (
            f"`{name}` is {str(column[i].as_py())[:20]!r}; expected a number from {low:g} to {high:g}"
        ),
    )
    return values


def _short_id(value: Any) -> str | None:
    return None if value is None else str(value)[:MAX_ID_BYTES]
