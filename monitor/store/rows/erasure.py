"""Rows taken out of the database: a person's, whose counts stay, and what is past its retention."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import duckdb

from monitor.errors import InvalidRequest
from monitor.layout import Layout
from monitor.sql import quote
from monitor.store import type_mismatches
from monitor.store.detector_store import EVIDENCE_KEPT
from monitor.store.rows.events import Model
from monitor.store.rows.wide_rows import Relation

ERASED = "(erased)"
BUILT_IN = ("event_id", "version", "error", "predicted_class")


@dataclass(frozen=True)
class Erased:
    """How many of each were taken out."""

    events: int = 0
    labels: int = 0
    quarantined: int = 0
    answers: int = 0
    values: int = 0

    def __add__(self, other: "Erased") -> "Erased":
        """Both together."""
        return Erased(
            *(
                a + b
                for a, b in zip(vars(self).values(), vars(other).values(), strict=True)
            )
        )


def condition(model: Model, column: str) -> str | None:
    """SQL that is true for an event whose `column` equals $value; None when the model has no such column.

    `column` is a feature, `tags.NAME`, or one of event_id, version, error.
    """
    if column in BUILT_IN:
        return f"{quote(column)} = $value"
    if column.startswith("tags."):
        name = column.removeprefix("tags.").replace("'", "''").replace('"', '\\"')
        return f"json_extract_string(tags, '$.\"{name}\"') = $value"
    feature = model.schema.by_name.get(column)
    if feature is None:
        return None
    stored = Relation("", model.schema).value(feature.field)
    return (
        f"{stored} = TRY_CAST($value AS DOUBLE)"
        if feature.kind == "numeric"
        else f"{stored} = $value"
    )


def erase(
    con: duckdb.DuckDBPyConnection, model: Model, column: str, stored: str, given: str
) -> Erased:
    """Take out every row of one model whose `column` holds `stored`, with its labels, and what else names the value.

    `given` is the value as it was sent, where a policy stores another form of it.
    Raises InvalidRequest when the column makes segments: their names would stay.
    """
    where = condition(model, column)
    if where is None:
        con.execute("CREATE OR REPLACE TEMP TABLE erased_ids(event_id VARCHAR)")
    else:
        con.execute(
            f"CREATE OR REPLACE TEMP TABLE erased_ids AS SELECT event_id FROM {model.events} WHERE {where}",
            {"value": stored},
        )
        ((segments,),) = con.execute(
            'SELECT count(*) FROM segments WHERE model = ? AND feature = ? AND "value" = ?',
            [model.id, column, stored],
        ).fetchall()
        if segments:
            raise InvalidRequest(
                f"{column!r} makes segments of {model.name!r}; take it out of `segments` before erasing by it"
            )
    ids = "(SELECT event_id FROM erased_ids)"
    refused = f"model = $model AND (contains(raw, $value) OR contains(raw, $given) OR event_id IN {ids})"
    texts = {"model": model.name, "value": _in_json(stored), "given": _in_json(given)}
    con.execute(
        f"INSERT INTO erased_ids SELECT event_id FROM quarantine WHERE {refused} AND event_id IS NOT NULL",
        texts,
    )
    quarantined = _deleted(con, f"DELETE FROM quarantine WHERE {refused}", texts)
    labels = _deleted(con, f"DELETE FROM {model.labels} WHERE event_id IN {ids}")
    events = (
        0
        if where is None
        else _deleted(
            con, f"DELETE FROM {model.events} WHERE {where}", {"value": stored}
        )
    )
    answers = _forget_answers(con)
    type_mismatches.forget_samples(con, model.name)
    values = _deleted(
        con,
        'DELETE FROM new_values WHERE model = $model AND "column" = $column AND "value" = $value',
        {"model": model.id, "column": _key(model, column), "value": stored},
    )
    con.execute("DROP TABLE erased_ids")
    return Erased(events, labels, quarantined, answers, values)


def rename_category(
    con: duckdb.DuckDBPyConnection,
    model: Model,
    column: str,
    layout: Layout,
    value: str,
) -> Layout:
    """The layout with `value` called "(erased)", put in its place everywhere; the same one when it does not name it."""
    if value not in layout.category_bins:
        return layout
    names = (ERASED, *(f"(erased {i})" for i in range(2, len(layout.categories) + 2)))
    free = next(name for name in names if name not in layout.category_bins)
    renamed = replace(
        layout,
        categories=tuple(free if c == value else c for c in layout.categories),
        others=tuple(c for c in layout.others if c != value),
    )
    con.execute(
        "INSERT INTO layouts SELECT $id, $text WHERE $id NOT IN (SELECT id FROM layouts)",
        {"id": renamed.id, "text": renamed.to_json()},
    )
    for table in (
        "model_layouts",
        "reference_bins",
        "reference_moments",
        "profile_bins",
        "profile_moments",
    ):
        con.execute(
            f'UPDATE {table} SET layout = $new WHERE model = $model AND "column" = $column AND layout = $old',
            {"new": renamed.id, "old": layout.id, "model": model.id, "column": column},
        )
    con.execute(
        "DELETE FROM layouts WHERE id = $old AND id NOT IN (SELECT layout FROM model_layouts)",
        {"old": layout.id},
    )
    return renamed


def _forget_answers(con: duckdb.DuckDBPyConnection) -> int:
    """Stored answers that name an erased id keep their counts and lose their list of refusals."""
    named = con.execute(
        'SELECT "key", answer FROM idempotency WHERE EXISTS (SELECT 1 FROM erased_ids e WHERE contains(answer, e.event_id))'
    ).fetchall()
    for key, answer in named:
        con.execute(
            'UPDATE idempotency SET answer = ? WHERE "key" = ?',
            [json.dumps(json.loads(answer) | {"refusals": []}), key],
        )
    return len(named)


def _deleted(
    con: duckdb.DuckDBPyConnection,
    statement: str,
    params: Mapping[str, object] | None = None,
) -> int:
    return int(con.execute(statement, params).fetchall()[0][0])


def _key(model: Model, column: str) -> str:
    feature = model.schema.by_name.get(column)
    return feature.field if feature else column


def _in_json(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)[1:-1]


def forget(
    con: duckdb.DuckDBPyConnection,
    models: Sequence[Model],
    now: datetime,
    raw_days: int | None,
    profile_days: int | None,
) -> None:
    """Delete raw rows and profiles that are past their retention, and what is kept beside them."""
    if raw_days is not None:
        for model in models:
            con.execute(
                f"DELETE FROM {model.labels} WHERE event_id IN (SELECT event_id FROM {model.events} WHERE ts < ?)",
                [now - timedelta(days=raw_days)],
            )
            con.execute(
                f"DELETE FROM {model.events} WHERE ts < ?",
                [now - timedelta(days=raw_days)],
            )
    if profile_days is not None:
        for table in ("profile_bins", "profile_moments"):
            con.execute(
                f"DELETE FROM {table} WHERE bucket < ?",
                [now - timedelta(days=profile_days)],
            )
    con.execute("DELETE FROM detector_evidence WHERE hour < ?", [now - EVIDENCE_KEPT])
    con.execute("DELETE FROM idempotency WHERE noted_at < ?", [now - timedelta(days=7)])
    con.execute("DELETE FROM quarantine WHERE noted_at < ?", [now - timedelta(days=30)])
    con.execute("DELETE FROM mistyped WHERE hour < ?", [now - timedelta(days=30)])
