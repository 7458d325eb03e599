"""Stored profiles, read in one query for any number of columns and time steps."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from monitor.arrow_columns import numpy_of
from monitor.layout import Layout
from monitor.profile import Profile, Steps
from monitor.store.database import Database
from monitor.store.model import ModelCatalog
from monitor.store.profiles.layout_catalog import LayoutCatalog

MOMENTS = ("rows", "missing", "invalid", "sum", "sum_sq", "min", "max")
ADDED_MOMENTS = 5  # the first ones; the others are NaN where there is no data
SUMS = (
    'sum("rows")::BIGINT AS "rows", sum(missing)::BIGINT AS missing, '
    'sum(invalid)::BIGINT AS invalid, sum("sum") AS "sum", sum(sum_sq) AS sum_sq, '
    'min("min") AS "min", max("max") AS "max"'
)
MICROSECOND = timedelta(microseconds=1)


class ProfileReader:
    """Reads the profiles of a time range. Times are naive UTC."""

    def __init__(
        self, database: Database, catalog: ModelCatalog, layouts: LayoutCatalog
    ) -> None:
        self._database, self._catalog, self._layouts = database, catalog, layouts

    def profiles(
        self,
        name: str,
        start: datetime,
        end: datetime,
        step: timedelta | None = None,
        version: str | None = None,
        segment: str = "",
        columns: Sequence[str] | None = None,
    ) -> dict[str, Steps]:
        """Return profiles of a model by column key, one for each step (one when None).

        Every column is there, empty where there is no data. `columns` None means all
        that are profiled, `version` None all versions.
        """
        layouts = self._layouts.of(name)
        if columns is not None:
            layouts = {key: layouts[key] for key in columns if key in layouts}
        width = step or (end - start)
        steps = max(1, -(-(end - start) // width))
        where = (
            "model = $model AND segment = $segment AND bucket >= $start "
            'AND bucket < $end AND list_contains($columns, "column")'
        )
        params = {
            "model": self._catalog.get(name).id,
            "segment": segment,
            "start": start,
            "end": end,
            "columns": list(layouts),
            "width": width // MICROSECOND,
        }
        if version is not None:
            where += " AND version = $version"
            params["version"] = version
        key = (
            "((epoch_us(bucket) - epoch_us($start::TIMESTAMP)) // $width)::INTEGER "
            "AS step"
        )
        with self._database.cursor() as cursor:
            bins, moments = _read_rows(cursor, key, where, params)
        return profiles_from(bins, moments, layouts, steps)

    def profiles_of(
        self,
        columns: Mapping[str, Collection[str]],
        start: datetime,
        end: datetime,
        segment: str = "",
    ) -> dict[str, dict[str, Profile]]:
        """Return profiles of some columns of many models, by model and column key.

        Two statements, whatever the number of models.
        """
        ids = {name: self._catalog.get(name).id for name in columns}
        layouts: dict[int, dict[str, Layout]] = {}
        for name, keys in columns.items():
            layouts[ids[name]] = {
                key: layout
                for key, layout in self._layouts.of(name).items()
                if key in keys
            }
        where = (
            "model IN (SELECT unnest($models)) AND segment = $segment "
            "AND bucket >= $start AND bucket < $end "
            'AND list_contains($columns, "column")'
        )
        params = {
            "models": list(layouts),
            "segment": segment,
            "start": start,
            "end": end,
            "columns": sorted({key for of in layouts.values() for key in of}),
        }
        with self._database.cursor() as cursor:
            rows = _read_rows(
                cursor, "0 AS step, model", where, params, " ORDER BY model"
            )
        bins, moments = (_by_model(table, layouts) for table in rows)
        profiles = {}
        for name, id_ in ids.items():
            steps = profiles_from(bins[id_], moments[id_], layouts[id_], 1)
            profiles[name] = {key: of_column[0] for key, of_column in steps.items()}
        return profiles


def _read_rows(
    con: duckdb.DuckDBPyConnection,
    key: str,
    where: str,
    params: dict[str, Any],
    order: str = "",
) -> tuple[pa.Table, pa.Table]:
    """Read bins and moments by column, layout and `key`."""
    end = f"WHERE {where} GROUP BY ALL{order}"
    bins = con.sql(
        f'SELECT "column", layout, {key}, bin, sum(n)::BIGINT AS n '
        f"FROM profile_bins {end}",
        params=params,
    ).to_arrow_table()
    moments = con.sql(
        f'SELECT "column", layout, {key}, {SUMS} FROM profile_moments {end}',
        params=params,
    ).to_arrow_table()
    return bins, moments


def _by_model(rows: pa.Table, models: Iterable[int]) -> dict[int, pa.Table]:
    """Split rows that are ordered by model; the column model is dropped."""
    model_of_row = numpy_of(rows["model"])
    others = rows.drop_columns(["model"])
    tables = {}
    for id_ in models:
        start, end = np.searchsorted(model_of_row, [id_, id_ + 1]).tolist()
        tables[id_] = others.slice(start, end - start)
    return tables


def profiles_from(
    bins: pa.Table, moments: pa.Table, layouts: Mapping[str, Layout], steps: int
) -> dict[str, Steps]:
    """Build profiles from long rows (column, step, bin, n) and (column, step, moments).

    Rows of columns without a layout are ignored.
    """
    bins_of, moments_of = _by_column(bins, layouts), _by_column(moments, layouts)
    profiles = {}
    for column, layout in layouts.items():
        counts = np.zeros((steps, layout.size), dtype=np.int64)
        if column in bins_of:
            rows = bins_of[column]
            np.add.at(counts, (rows["step"], rows["bin"]), rows["n"])
        sums = np.zeros((steps, len(MOMENTS)))
        sums[:, ADDED_MOMENTS:] = np.nan
        if column in moments_of:
            rows = moments_of[column]
            sums[rows["step"]] = np.column_stack(
                [rows[name].astype(float) for name in MOMENTS]
            )
        profiles[column] = Steps(layout, counts, sums)
    return profiles


def _by_column(
    table: pa.Table, columns: Collection[str]
) -> dict[str, dict[str, np.ndarray]]:
    """Split rows by column; each has numpy arrays by field."""
    fields = [name for name in table.column_names if name not in ("column", "layout")]
    encoded = table["column"].combine_chunks().dictionary_encode()
    codes = encoded.indices.to_numpy(zero_copy_only=False)
    order = np.argsort(codes, kind="stable")
    arrays = {name: table[name].to_numpy()[order] for name in fields}
    bounds = np.searchsorted(codes[order], np.arange(len(encoded.dictionary) + 1))
    split = {}
    for i, column in enumerate(encoded.dictionary.to_pylist()):
        if column in columns:
            rows = slice(bounds[i], bounds[i + 1])
            split[column] = {name: array[rows] for name, array in arrays.items()}
    return split
