"""Profiles out of the store: one query for any number of columns and time steps."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from monitor.arrow_columns import numpy_of
from monitor.layout import Layout
from monitor.profile import Profile, Steps
from monitor.store.rows.events import Model

MOMENTS = ("rows", "missing", "invalid", "sum", "sum_sq", "min", "max")
SUMS = (
    'sum("rows")::BIGINT AS "rows", sum(missing)::BIGINT AS missing, sum(invalid)::BIGINT AS invalid, '
    'sum("sum") AS "sum", sum(sum_sq) AS sum_sq, min("min") AS "min", max("max") AS "max"'
)


def read_profiles(
    con: duckdb.DuckDBPyConnection,
    model: Model,
    layouts: Mapping[str, Layout],
    start: datetime,
    end: datetime,
    step: timedelta | None = None,
    version: str | None = None,
    segment: str = "",
) -> dict[str, Steps]:
    """Profiles of the columns in `layouts` from `start` to `end`, one for each `step` (one when None).

    Times are naive UTC; every column is there, empty where there is no data. `version`
    None means all versions.
    """
    width = step or (end - start)
    steps = max(1, -(-(end - start) // width))
    where = (
        'model = $model AND segment = $segment AND bucket >= $start AND bucket < $end AND list_contains($columns, "column")'
        + ("" if version is None else " AND version = $version")
    )
    params = {
        "model": model.id,
        "segment": segment,
        "start": start,
        "end": end,
        "columns": list(layouts),
        "width": width // timedelta(microseconds=1),
        **({} if version is None else {"version": version}),
    }
    which = (
        "((epoch_us(bucket) - epoch_us($start::TIMESTAMP)) // $width)::INTEGER AS step"
    )
    bins, moments = _rows(con, which, where, params)
    return profiles_from(bins, moments, layouts, steps)


def read_profiles_of(
    con: duckdb.DuckDBPyConnection,
    layouts: Mapping[int, Mapping[str, Layout]],
    start: datetime,
    end: datetime,
    segment: str = "",
) -> dict[int, dict[str, Profile]]:
    """The profiles of many models' columns from `start` to `end` in two statements, whatever their number; by model id."""
    where = (
        "model IN (SELECT unnest($models)) AND segment = $segment AND bucket >= $start AND bucket < $end "
        'AND list_contains($columns, "column")'
    )
    columns = sorted({column for some in layouts.values() for column in some})
    params = {
        "models": list(layouts),
        "segment": segment,
        "start": start,
        "end": end,
        "columns": columns,
    }
    bins, moments = _rows(con, "0 AS step, model", where, params, " ORDER BY model")
    of_bins, of_moments = _by_model(bins, layouts), _by_model(moments, layouts)
    found = {
        id_: profiles_from(of_bins[id_], of_moments[id_], some, 1)
        for id_, some in layouts.items()
    }
    return {
        id_: {column: profiles[0] for column, profiles in some.items()}
        for id_, some in found.items()
    }


def _rows(
    con: duckdb.DuckDBPyConnection,
    which: str,
    where: str,
    params: dict[str, Any],
    order: str = "",
) -> tuple[pa.Table, pa.Table]:
    """Bins and moments by column, layout and `which`."""
    end = f"WHERE {where} GROUP BY ALL{order}"
    bins = f'SELECT "column", layout, {which}, bin, sum(n)::BIGINT AS n FROM profile_bins {end}'
    moments = f'SELECT "column", layout, {which}, {SUMS} FROM profile_moments {end}'
    return con.sql(bins, params=params).to_arrow_table(), con.sql(
        moments, params=params
    ).to_arrow_table()


def _by_model(rows: pa.Table, models: Iterable[int]) -> dict[int, pa.Table]:
    """The rows of each model, without it, of rows that are in the order of their models."""
    of_row, rest = numpy_of(rows["model"]), rows.drop_columns(["model"])
    bounds = {id_: np.searchsorted(of_row, [id_, id_ + 1]).tolist() for id_ in models}
    return {id_: rest.slice(start, end - start) for id_, (start, end) in bounds.items()}


def profiles_from(
    bins: pa.Table, moments: pa.Table, layouts: Mapping[str, Layout], steps: int
) -> dict[str, Steps]:
    """Profiles from long rows (column, step, bin, n) and (column, step, moments); rows of other columns are ignored."""
    by_column = _split(bins, layouts)
    by_moment = _split(moments, layouts)
    result = {}
    for column, layout in layouts.items():
        counts = np.zeros((steps, layout.size), dtype=np.int64)
        if column in by_column:
            part = by_column[column]
            np.add.at(counts, (part["step"], part["bin"]), part["n"])
        sums = np.zeros((steps, len(MOMENTS)))
        sums[:, 5:] = np.nan
        if column in by_moment:
            part = by_moment[column]
            sums[part["step"]] = np.column_stack(
                [part[name].astype(float) for name in MOMENTS]
            )
        result[column] = Steps(layout, counts, sums)
    return result


def _split(table: pa.Table, columns: Iterable[str]) -> dict[str, dict[str, np.ndarray]]:
    """The rows of each column as numpy arrays by field."""
    names = [n for n in table.column_names if n not in ("column", "layout")]
    encoded = table["column"].combine_chunks().dictionary_encode()
    codes = encoded.indices.to_numpy(zero_copy_only=False)
    order = np.argsort(codes, kind="stable")
    arrays = {name: table[name].to_numpy()[order] for name in names}
    bounds = np.searchsorted(codes[order], np.arange(len(encoded.dictionary) + 1))
    wanted = set(columns)
    return {
        column: {
            name: array[bounds[i] : bounds[i + 1]] for name, array in arrays.items()
        }
        for i, column in enumerate(encoded.dictionary.to_pylist())
        if column in wanted
    }
