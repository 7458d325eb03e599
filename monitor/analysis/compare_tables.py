"""Rows beside reference rows, from files or tables alone: no server, nothing stored."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from monitor.analysis.comparison import Compared, Comparison, overall
from monitor.arrow_columns import numpy_of
from monitor.config.config import DEFAULT_RULES, Config, RuleConfig
from monitor.contracts import ProfileColumn
from monitor.engines.in_process import profile
from monitor.errors import PayloadError, StorageError
from monitor.evaluation.rules import Window, evaluate_all
from monitor.finding import RANK, Finding
from monitor.ingest.embedding_columns import unfolded
from monitor.ingest.features import OWN, columns_of, kind_of, values_of
from monitor.ingest.file_batches import ColumnMapping as Columns
from monitor.ingest.file_batches import renamed, source_of
from monitor.layout import UNIT, Layout, layout_of_categories, layout_of_numbers
from monitor.plugins import load
from monitor.profile import Profile
from monitor.statistics._bins import pool
from monitor.statistics.drift.g_test import g_test_p

ROWS_AT_ONCE = 60_000
ERROR_RATE = 0.05  # chance of naming any column as changed when none did
# values from which on a column with more than half as many as rows is one of ids
ID_LIKE = 10_000
NOT_COMPARED = frozenset(OWN) - {"prediction"}
RAW = ("rows", "missing", "invalid", "sum", "sum_sq", "min", "max")

Rows = str | Path | Any


def compare(
    reference: Rows | Sequence[Rows],
    current: Rows | Sequence[Rows],
    columns: Columns | None = None,
    rules: Sequence[RuleConfig] = DEFAULT_RULES,
) -> Comparison:
    """What changed from the reference's rows to the current ones, column by column.

    `reference`, `current`: paths of Parquet, CSV, JSON lines or Arrow files, or tables
    of pandas, Polars, DuckDB, Arrow or anything else with `__arrow_c_stream__`; several
    are one. Every column is a feature but those of an event (`ts`, `event_id`, `label`
    and so on); `prediction` is compared, too, and `columns` maps other names. Of
    `rules` those on features and predictions count, by default drift (PSI), missing
    values, wrong types and new values.

    If the rows are independent of each other and nothing changed, the chance that any
    column is said to be changed is at most 5 %. Raises PayloadError when a side is no
    table, or has no rows or no columns to compare, StorageError for a file that is not
    there or of an unknown ending.
    """
    columns = columns or Columns()
    unreadable: list[str] = []
    base = _reference(reference, columns, unreadable)
    sides = _Sides(base)
    for table in _tables(current, columns, unreadable, coded=True):
        sides.add(table)
    if not sides.rows:
        raise PayloadError("there are no current rows to compare")
    return sides.compared(base, rules, tuple(unreadable))


def rules_for(config: Config, model: str) -> list[RuleConfig]:
    """The configured rules that hold a model's rows as a whole against its reference."""
    whole = [
        r
        for r in config.all_rules
        if not r.segment and r.version is None and r.against == "reference"
    ]
    return [r for r in whole if r.model in ("*", model)]


# the reference


@dataclass(frozen=True, eq=False)
class _Base:
    """The reference: its rows, each column's layout and profile, and of categories their counts."""

    rows: int
    layouts: Mapping[str, Layout]
    profiles: Mapping[str, Profile]
    categories: Mapping[str, pa.Table]
    left_out: Mapping[str, str]


def _reference(
    rows: Rows | Sequence[Rows], columns: Columns, unreadable: list[str]
) -> _Base:
    # texts that are numbers make a number
    tables = list(_tables(rows, columns, unreadable, coded=False))
    table = (
        pa.concat_tables(tables, promote_options="permissive")
        if tables
        else pa.table({})
    )
    if not table.num_rows:
        raise PayloadError("the reference has no rows")
    sources = _sources(table)
    layouts: dict[str, Layout] = {}
    left_out: dict[str, str] = {}
    categories: dict[str, pa.Table] = {}
    numbers: dict[str, pa.Array] = {}
    for name, source in sources.items():
        column = table[source]
        kind = kind_of(column)
        if kind is None or pa.types.is_temporal(column.type):
            left_out[name] = "empty in the reference" if kind is None else "times"
        elif kind == "numeric":
            numbers[name] = values_of(column, "numeric")
            layouts[name] = _numbers_layout(name, numpy_of(numbers[name].drop_null()))
        else:
            counted = _summed([_counted(column)])
            if len(counted) > max(ID_LIKE, table.num_rows // 2):
                left_out[name] = "nearly every row has a value of its own"
                continue
            categories[name] = counted
            layouts[name] = _categories_layout(counted)
    if not layouts:
        raise PayloadError("the reference has no column to compare")
    batch = pa.table(numbers) if numbers else None
    profiles = _profiles(
        iter([batch] if batch else []), {n: layouts[n] for n in numbers}
    )
    for name, counted in categories.items():
        profiles[name] = _of_categories(layouts[name], counted, table.num_rows)
    return _Base(table.num_rows, layouts, profiles, categories, left_out)


def _sources(table: pa.Table) -> dict[str, str]:
    """The table's column of each feature, by the feature's name, and of the prediction."""
    return columns_of(table) | (
        {"prediction": "prediction"} if "prediction" in table.column_names else {}
    )


def _numbers_layout(name: str, values: np.ndarray) -> Layout:
    score = (
        name == "prediction" and len(values) and values.min() >= 0 and values.max() <= 1
    )
    return UNIT if score else layout_of_numbers(values)


def _categories_layout(counted: pa.Table) -> Layout:
    values, rows = counted["values"].to_pylist(), counted["counts"].to_pylist()
    found = sorted(zip(values, rows, strict=True), key=lambda one: (-one[1], one[0]))
    return layout_of_categories([(value, n, n == 1) for value, n in found], sum(rows))


# both sides


class _Sides:
    """The current rows as they come, counted on the reference's layouts."""

    def __init__(self, base: _Base) -> None:
        self.rows = 0
        self._base = base
        self._numeric = {
            n: layout for n, layout in base.layouts.items() if n not in base.categories
        }
        self._profiles: dict[str, Profile] = {}
        self._counted: dict[str, list[pa.Table]] = {
            name: [] for name in base.categories
        }
        self._added: dict[str, None] = {}

    def add(self, table: pa.Table) -> None:
        """Count the rows of a table; a column that it has not is missing in all of them."""
        self.rows += table.num_rows
        sources = _sources(table)
        self._added |= dict.fromkeys(
            n
            for n in sources
            if n not in self._base.layouts and n not in self._base.left_out
        )
        found = {
            name: table[source]
            for name, source in sources.items()
            if name in self._base.layouts
        }
        nothing = pa.nulls(table.num_rows, pa.float64())
        numbers = {
            n: values_of(found[n], "numeric") if n in found else nothing
            for n in self._numeric
        }
        now = _profiles(iter([pa.table(numbers)]), self._numeric) if numbers else {}
        self._profiles = {
            n: p + self._profiles[n] if n in self._profiles else p
            for n, p in now.items()
        }
        for name, parts in self._counted.items():
            if name in found:
                parts.append(_counted(found[name]))

    def compared(
        self, base: _Base, rules: Sequence[RuleConfig], unreadable: tuple[str, ...]
    ) -> Comparison:
        """Everything that the rules and the tests find."""
        current = dict(self._profiles)
        p_values: dict[str, float | None] = {}
        for name, parts in self._counted.items():
            counted = _summed(parts)
            current[name] = _of_categories(base.layouts[name], counted, self.rows)
            p_values[name] = _p_of_categories(
                base.categories[name], counted, base.profiles[name], current[name]
            )
        for name in self._numeric:
            r, c = base.profiles[name].inner(), current[name].inner()
            p_values[name] = _p_value(
                [*r.counts, r.missing, r.invalid], [*c.counts, c.missing, c.invalid]
            )
        changed = _holm({name: p for name, p in p_values.items() if p is not None})
        now = datetime.now(UTC)
        names = {name: name for name in base.layouts}
        of_data = [r for r in rules if not load("statistics")[r.statistic].COLUMNS]
        found: dict[str, list[Finding]] = {name: [] for name in names}
        for finding in evaluate_all(
            of_data, "", current, base.profiles, names, Window(now, now)
        ):
            found[str(finding.column)].append(finding)
        columns = [
            Compared(
                name,
                base.layouts[name].kind if name != "prediction" else name,
                overall([f.verdict for f in found[name]]),
                tuple(found[name]),
                p_values[name],
                name in changed,
                base.profiles[name],
                current[name],
            )
            for name in names
        ]
        columns.sort(key=lambda c: (-RANK[c.status], not c.changed, -_largest(c)))
        return Comparison(
            base.rows,
            self.rows,
            tuple(columns),
            base.left_out,
            tuple(self._added),
            unreadable,
        )


def _tables(
    rows: Rows | Sequence[Rows], columns: Columns, unreadable: list[str], coded: bool
) -> Iterator[pa.Table]:
    """The rows in parts, with their columns named as an event's and embeddings as what is kept of them."""
    if isinstance(rows, list | tuple):
        for some in rows:
            yield from _tables(some, columns, unreadable, coded)
        return
    if isinstance(rows, str | Path):
        path = Path(rows)
        if not path.is_file():
            raise StorageError(f"{path} does not exist")
        source = source_of(path)
        if hasattr(source, "read_without") and not columns.given:
            chunks = source.read_without(path, ROWS_AT_ONCE, NOT_COMPARED, coded)
        else:
            chunks = source.read_file(path, ROWS_AT_ONCE)
        for chunk in chunks:
            unreadable += [
                f"{path.name} line {r.line}: {r.reason}" for r in chunk.refusals
            ]
            yield _named(chunk.table, columns)
        return
    if not hasattr(rows, "__arrow_c_stream__"):
        raise PayloadError(
            f"rows are a path, a table, or a list of these, not {type(rows).__name__}"
        )
    table = rows if isinstance(rows, pa.Table) else pa.table(rows)
    for start in range(0, table.num_rows, ROWS_AT_ONCE):
        yield _named(table.slice(start, ROWS_AT_ONCE), columns)


def _named(table: pa.Table, columns: Columns) -> pa.Table:
    return unfolded(renamed(table, columns, None, 1, None), lambda where, reason: None)


def _profiles(
    tables: Iterable[pa.Table], layouts: Mapping[str, Layout]
) -> dict[str, Profile]:
    """The profiles of numeric columns."""
    measured = [
        ProfileColumn(str(i), str(i), layout)
        for i, layout in enumerate(layouts.values())
    ]
    found = {
        name: Profile(layout, np.zeros(layout.size, np.int64))
        for name, layout in layouts.items()
    }
    for table in tables:
        n = table.num_rows
        rows = table.select(list(layouts)).rename_columns([m.column for m in measured])
        rows = rows.append_column(
            "ts", pa.array(np.zeros(n, np.int64)).view(pa.timestamp("us"))
        )
        profiled = profile(rows.append_column("version", pa.repeat("", n)), measured)
        moments = {row["column"]: row for row in profiled.moments.to_pylist()}
        which, bins, counts = (
            numpy_of(profiled.bins["column"].cast(pa.int64())),
            *map(numpy_of, (profiled.bins["bin"], profiled.bins["n"])),
        )
        for i, (name, layout) in enumerate(layouts.items()):
            mine = which == i
            row = {key: moments[str(i)][key] for key in RAW}
            row |= {key: np.nan for key in ("min", "max") if row[key] is None}
            found[name] = found[name] + Profile(
                layout,
                np.bincount(bins[mine], counts[mine], layout.size).astype(np.int64),
                **row,
            )
    return found


def _counted(column: pa.ChunkedArray) -> pa.Table:
    """How often each text is there: `values`, `counts`."""
    texts = (
        column
        if pa.types.is_dictionary(column.type)
        else pa.chunked_array([values_of(column, "categorical")])
    )
    counted = pc.value_counts(texts.drop_null())
    values, counts = (
        counted.flatten()
        if isinstance(counted, pa.StructArray)
        else (counted.field(0), counted.field(1))
    )
    return pa.table({"values": values.cast(pa.string()), "counts": counts})


def _summed(parts: Sequence[pa.Table]) -> pa.Table:
    if not parts:
        return pa.table(
            {"values": pa.array([], pa.string()), "counts": pa.array([], pa.int64())}
        )
    return (
        pa.concat_tables(parts)
        .group_by("values")
        .aggregate([("counts", "sum")])
        .rename_columns(["values", "counts"])
    )


def _of_categories(layout: Layout, counted: pa.Table, rows: int) -> Profile:
    new = layout.new_bin or 0
    bins = np.array(
        [
            layout.category_bins.get(value, new)
            for value in counted["values"].to_pylist()
        ],
        np.int64,
    )
    n = numpy_of(counted["counts"])
    return Profile(
        layout,
        np.bincount(bins, n, layout.size).astype(np.int64),
        rows,
        rows - int(n.sum()),
    )


def _p_of_categories(
    before: pa.Table, now: pa.Table, reference: Profile, current: Profile
) -> float | None:
    """By each value of its own, not by the layout's bins: the reference chose those."""
    both = before.join(now, "values", join_type="full outer", right_suffix="_now")
    r, c = (
        numpy_of(both[name].fill_null(0)).astype(float)
        for name in ("counts", "counts_now")
    )
    return _p_value([*r, reference.missing], [*c, current.missing])


def _p_value(reference: Sequence[float], current: Sequence[float]) -> float | None:
    """Of the G-test; bins that are expected to hold fewer than 5 rows of a side are put together."""
    r, c = np.array(reference, float), np.array(current, float)
    seen = r + c > 0
    if not r.sum() or not c.sum():
        return None
    r, c = pool(r[seen], c[seen])
    return g_test_p(r, c) if r.size > 1 else 1.0


def _holm(p_values: Mapping[str, float]) -> set[str]:
    """The columns that changed, with at most ERROR_RATE chance of naming any that did not (Holm 1979)."""
    changed: set[str] = set()
    for rank, (name, p) in enumerate(
        sorted(p_values.items(), key=lambda item: item[1])
    ):
        if p > ERROR_RATE / (len(p_values) - rank):
            break
        changed.add(name)
    return changed


def _largest(compared: Compared) -> float:
    """How far beyond its limit a column is, at most."""
    return max(
        (
            f.value / f.limit
            for f in compared.findings
            if f.value is not None and f.limit
        ),
        default=0.0,
    )
