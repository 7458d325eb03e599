"""Erasure of a person: their rows and every stored text that names them; counts stay."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

import duckdb

from monitor.errors import InvalidRequest
from monitor.layout import Layout
from monitor.sql import quote
from monitor.store.database import Database
from monitor.store.model import Model, ModelCatalog
from monitor.store.profiles.layout_catalog import LayoutCatalog
from monitor.store.profiles.reference import insert_layouts
from monitor.store.profiles.references import References
from monitor.store.rows.event_spans import EventSpans
from monitor.store.rows.wide_rows import Relation
from monitor.store.type_mismatches import clear_samples

ERASED = "(erased)"  # in place of a category
EVENT_COLUMNS = ("event_id", "version", "error", "predicted_class")
TABLES_WITH_LAYOUTS = (
    "model_layouts",
    "reference_bins",
    "reference_moments",
    "profile_bins",
    "profile_moments",
)


@dataclass(frozen=True)
class Erased:
    """The number of rows that were erased of each kind; `answers` are stored responses."""

    events: int = 0
    labels: int = 0
    quarantined: int = 0
    answers: int = 0
    values: int = 0

    def __add__(self, other: "Erased") -> "Erased":
        """Add the numbers of each kind."""
        sums = {
            field.name: getattr(self, field.name) + getattr(other, field.name)
            for field in fields(self)
        }
        return Erased(**sums)


class Erasure:
    """Erases persons from the database."""

    def __init__(
        self,
        database: Database,
        catalog: ModelCatalog,
        layouts: LayoutCatalog,
        references: References,
        event_spans: EventSpans,
    ) -> None:
        self._database, self._catalog, self._layouts = database, catalog, layouts
        self._references, self._event_spans = references, event_spans

    def erase(self, name: str, column: str, value: str, stored: str) -> Erased:
        """Erase every event of a model whose `column` is `stored`, with its labels.

        Also erases other texts with the value. `value` is as it was sent, where a
        column policy stores another form of it. Profiles and accounts stay. Raises
        InvalidRequest when the column makes segments: their names would stay.
        """
        with self._database.write_lock:
            model = self._catalog.get(name)
            layouts = dict(self._layouts.frozen.get(name, {}))
            key = _key_of(model, column)
            with self._database.writing() as con:
                erased = _erase_rows(con, model, column, value, stored)
                if key in layouts and stored in layouts[key].category_bins:
                    layouts[key] = _rename_category(
                        con, model, key, layouts[key], stored
                    )
            self._references.replace_layouts(name, layouts)
            self._event_spans.forget()
            return erased


def condition(model: Model, column: str) -> str | None:
    """Return SQL that is true for an event whose `column` equals $value.

    `column` is a feature, `tags.NAME`, or one of EVENT_COLUMNS; None when the model
    has no such column.
    """
    if column in EVENT_COLUMNS:
        return f"{quote(column)} = $value"
    if column.startswith("tags."):
        name = column.removeprefix("tags.").replace("'", "''").replace('"', '\\"')
        return f"json_extract_string(tags, '$.\"{name}\"') = $value"
    feature = model.schema.by_name.get(column)
    if feature is None:
        return None
    field = Relation("", model.schema).value(feature.field)
    if feature.kind == "numeric":
        return f"{field} = TRY_CAST($value AS DOUBLE)"
    return f"{field} = $value"


def _erase_rows(
    con: duckdb.DuckDBPyConnection, model: Model, column: str, value: str, stored: str
) -> Erased:
    where = condition(model, column)
    if where is not None:
        _check_segments(con, model, column, stored)
    _collect_ids(con, model, where, stored)
    ids = "(SELECT event_id FROM erased_ids)"
    quarantined = _erase_quarantined(con, model, value, stored)
    labels = _delete(con, f"DELETE FROM {model.labels} WHERE event_id IN {ids}")
    events = 0
    if where is not None:
        delete = f"DELETE FROM {model.events} WHERE {where}"
        events = _delete(con, delete, {"value": stored})
    responses = _clear_responses(con)
    clear_samples(con, model.name)
    values = _delete(
        con,
        "DELETE FROM new_values WHERE model = $model "
        'AND "column" = $column AND "value" = $value',
        {"model": model.id, "column": _key_of(model, column), "value": stored},
    )
    con.execute("DROP TABLE erased_ids")
    return Erased(events, labels, quarantined, responses, values)


def _check_segments(
    con: duckdb.DuckDBPyConnection, model: Model, column: str, stored: str
) -> None:
    ((segments,),) = con.execute(
        'SELECT count(*) FROM segments WHERE model = ? AND feature = ? AND "value" = ?',
        [model.id, column, stored],
    ).fetchall()
    if segments:
        raise InvalidRequest(
            f"{column!r} makes segments of {model.name!r}; "
            "take it out of `segments` before erasing by it"
        )


def _collect_ids(
    con: duckdb.DuckDBPyConnection, model: Model, where: str | None, stored: str
) -> None:
    """Create the temporary table `erased_ids` of the events to erase."""
    if where is None:
        con.execute("CREATE OR REPLACE TEMP TABLE erased_ids(event_id VARCHAR)")
        return
    con.execute(
        "CREATE OR REPLACE TEMP TABLE erased_ids AS "
        f"SELECT event_id FROM {model.events} WHERE {where}",
        {"value": stored},
    )


def _erase_quarantined(
    con: duckdb.DuckDBPyConnection, model: Model, value: str, stored: str
) -> int:
    """Delete refused rows that have the value or an erased id; add their ids to erase."""
    where = (
        "model = $model AND (contains(raw, $stored) OR contains(raw, $value) "
        "OR event_id IN (SELECT event_id FROM erased_ids))"
    )
    params = {"model": model.name, "stored": _in_json(stored), "value": _in_json(value)}
    con.execute(
        "INSERT INTO erased_ids SELECT event_id FROM quarantine "
        f"WHERE {where} AND event_id IS NOT NULL",
        params,
    )
    return _delete(con, f"DELETE FROM quarantine WHERE {where}", params)


def _clear_responses(con: duckdb.DuckDBPyConnection) -> int:
    """Clear the refusals of stored responses that name an erased id; counts stay."""
    responses = con.execute(
        'SELECT "key", answer FROM idempotency WHERE EXISTS '
        "(SELECT 1 FROM erased_ids e WHERE contains(answer, e.event_id))"
    ).fetchall()
    for key, response in responses:
        cleared = json.dumps(json.loads(response) | {"refusals": []})
        con.execute('UPDATE idempotency SET answer = ? WHERE "key" = ?', [cleared, key])
    return len(responses)


def _rename_category(
    con: duckdb.DuckDBPyConnection,
    model: Model,
    column: str,
    layout: Layout,
    value: str,
) -> Layout:
    """Call a category of a layout "(erased)" wherever it is stored; return the layout."""
    names = (ERASED, *(f"(erased {i})" for i in range(2, len(layout.categories) + 2)))
    free = next(name for name in names if name not in layout.category_bins)
    renamed = replace(
        layout,
        categories=tuple(free if c == value else c for c in layout.categories),
        others=tuple(c for c in layout.others if c != value),
    )
    insert_layouts(con, [renamed])
    for table in TABLES_WITH_LAYOUTS:
        con.execute(
            f"UPDATE {table} SET layout = $new "
            'WHERE model = $model AND "column" = $column AND layout = $old',
            {"new": renamed.id, "old": layout.id, "model": model.id, "column": column},
        )
    con.execute(
        "DELETE FROM layouts WHERE id = $old "
        "AND id NOT IN (SELECT layout FROM model_layouts)",
        {"old": layout.id},
    )
    return renamed


def _delete(
    con: duckdb.DuckDBPyConnection,
    statement: str,
    params: Mapping[str, object] | None = None,
) -> int:
    """Run a DELETE; return the number of rows."""
    ((rows,),) = con.execute(statement, params).fetchall()
    return int(rows)


def _key_of(model: Model, column: str) -> str:
    feature = model.schema.by_name.get(column)
    return feature.field if feature else column


def _in_json(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)[1:-1]
