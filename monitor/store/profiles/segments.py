"""The segments of a model: the most frequent values of its configured features."""

from collections.abc import Sequence

import duckdb
import pyarrow as pa

from monitor.sql import quote
from monitor.store.database import registered
from monitor.store.model import Model
from monitor.store.profiles.profiled_columns import segment_features
from monitor.store.profiles.row_profiles import Rows

MAX_SEGMENTS = 50  # of one feature


def register_segments(
    con: duckdb.DuckDBPyConnection, model: Model, rows: Rows, names: Sequence[str]
) -> None:
    """Add segments for values of the features `names` in rows, up to the maximum.

    The first values stay the segments for good, so that a rebuild profiles the same.
    """
    features = segment_features(model, names)
    if not features:
        return
    if isinstance(rows, pa.Table):
        with registered(con, rows.select([f.field for f in features])) as table:
            for feature in features:
                _register(con, model, feature.name, table, quote(feature.field))
        return
    for feature in features:
        _register(con, model, feature.name, rows.name, rows.value(feature.field))


def _register(
    con: duckdb.DuckDBPyConnection, model: Model, name: str, table: str, field: str
) -> None:
    present = "FROM segments WHERE model = $model AND feature = $name"
    con.execute(
        "INSERT INTO segments SELECT $model, $name, $name || '=' || v, v FROM ("
        f"SELECT {field} AS v, count(*) AS n FROM {quote(table)} "
        f"WHERE {field} IS NOT NULL "
        f'AND {field} NOT IN (SELECT "value" {present}) '
        "GROUP BY 1 ORDER BY n DESC, v) "
        f"LIMIT greatest(0, {MAX_SEGMENTS} - (SELECT count(*) {present}))",
        {"model": model.id, "name": name},
    )


def read_segments(
    con: duckdb.DuckDBPyConnection, model: Model, names: Sequence[str]
) -> list[tuple[str, tuple[str, str]]]:
    """Return the segments that the features `names` made: (segment, (field, value))."""
    if not names:
        return []
    rows = con.execute(
        'SELECT feature, segment, "value" FROM segments WHERE model = ? '
        "ORDER BY segment",
        [model.id],
    ).fetchall()
    return [
        (segment, (model.schema.by_name[feature].field, value))
        for feature, segment, value in rows
        if feature in names
    ]
