"""Comparison of current rows with reference rows, without a server."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa

from monitor.analysis.change_test import (
    category_p_value,
    changed_columns,
    number_p_value,
)
from monitor.analysis.comparison import Compared, Comparison, worst_checked
from monitor.analysis.row_tables import Rows, compared_columns, row_tables
from monitor.analysis.table_profiles import (
    category_layout,
    category_profile,
    count_categories,
    number_profiles,
    sum_counts,
)
from monitor.arrow_columns import numpy_of
from monitor.config.config import Config
from monitor.config.rule import DEFAULT_RULES, RuleConfig
from monitor.errors import PayloadError
from monitor.evaluation.rules import Window, evaluate_all
from monitor.finding import RANK, Finding
from monitor.ingest.features import kind_of, values_of
from monitor.ingest.file_batches import ColumnMapping as Columns
from monitor.layout import UNIT, Layout, layout_of_numbers
from monitor.plugins import statistics
from monitor.profile import Profile

# a column with more values than this, and more than half as many as rows, holds ids
MAX_CATEGORIES_OF_A_FEATURE = 10_000


def compare(
    reference: Rows | Sequence[Rows],
    current: Rows | Sequence[Rows],
    columns: Columns | None = None,
    rules: Sequence[RuleConfig] = DEFAULT_RULES,
) -> Comparison:
    """Compare the current rows with the reference, column by column.

    `reference` and `current` are paths of Parquet, CSV, JSON lines or Arrow files, or
    tables: pandas, Polars, DuckDB, Arrow or any object with `__arrow_c_stream__`. A
    list of these is one table. Every column is a feature except those of an event
    (`ts`, `event_id`, `label` and so on); `prediction` is compared too, and `columns`
    maps other names. Of `rules` those on features and predictions apply, by default
    drift (PSI), missing values, type mismatches and new categories.

    If the rows are independent of each other and nothing changed, the chance that any
    column is reported as changed is at most 5%. Raises PayloadError when a side is not
    a table, or has no rows or no columns to compare; StorageError for a file that does
    not exist or has an unknown ending.
    """
    columns = columns or Columns()
    unreadable: list[str] = []
    # not coded: texts that are numbers in one file and in another text stay comparable
    reference_tables = list(row_tables(reference, columns, unreadable, coded=False))
    reference_rows = _read_reference(reference_tables)
    current_rows = CurrentRows(reference_rows)
    for table in row_tables(current, columns, unreadable, coded=True):
        current_rows.add(table)
    if not current_rows.rows:
        raise PayloadError("there are no current rows to compare")
    compared = _compare_columns(reference_rows, current_rows, rules)
    return Comparison(
        reference_rows.rows,
        current_rows.rows,
        tuple(compared),
        reference_rows.left_out,
        tuple(current_rows.added),
        tuple(unreadable),
    )


def rules_for(config: Config, model: str) -> list[RuleConfig]:
    """Return the rules that compare all rows of a model with its reference."""
    return [
        rule
        for rule in config.all_rules
        if rule.model in ("*", model)
        and not rule.segment
        and rule.version is None
        and rule.against == "reference"
    ]


@dataclass(frozen=True, eq=False)
class ReferenceRows:
    """The reference: its number of rows, and the layout and profile of each column.

    `categories` has the counts by value of categorical columns, `left_out` the reason
    for each column that is not compared.
    """

    rows: int
    layouts: Mapping[str, Layout]
    profiles: Mapping[str, Profile]
    categories: Mapping[str, pa.Table]
    left_out: Mapping[str, str]


def _read_reference(tables: list[pa.Table]) -> ReferenceRows:
    table = pa.table({})
    if tables:
        table = pa.concat_tables(tables, promote_options="permissive")
    rows = table.num_rows
    if not rows:
        raise PayloadError("the reference has no rows")
    layouts: dict[str, Layout] = {}
    left_out: dict[str, str] = {}
    categories: dict[str, pa.Table] = {}
    numbers: dict[str, pa.Array] = {}
    for name, source in compared_columns(table).items():
        column = table[source]
        kind = kind_of(column)
        if kind is None:
            left_out[name] = "empty in the reference"
        elif pa.types.is_temporal(column.type):
            left_out[name] = "times"
        elif kind == "numeric":
            numbers[name] = values_of(column, "numeric")
            layouts[name] = _number_layout(name, numpy_of(numbers[name].drop_null()))
        else:
            counted = sum_counts([count_categories(column)])
            if len(counted) > max(MAX_CATEGORIES_OF_A_FEATURE, rows // 2):
                left_out[name] = "nearly every row has its own value"
                continue
            categories[name] = counted
            layouts[name] = category_layout(counted)
    if not layouts:
        raise PayloadError("the reference has no column to compare")
    number_layouts = {name: layouts[name] for name in numbers}
    number_tables = [pa.table(numbers)] if numbers else []
    profiles = number_profiles(number_tables, number_layouts)
    for name, counted in categories.items():
        profiles[name] = category_profile(layouts[name], counted, rows)
    return ReferenceRows(rows, layouts, profiles, categories, left_out)


def _number_layout(name: str, values: np.ndarray) -> Layout:
    if name == "prediction" and len(values):
        is_score = values.min() >= 0 and values.max() <= 1
        if is_score:
            return UNIT
    return layout_of_numbers(values)


class CurrentRows:
    """The current rows, profiled on the reference's layouts table by table."""

    def __init__(self, reference: ReferenceRows) -> None:
        self.rows = 0
        self.added: dict[str, None] = {}  # columns that the reference does not have
        self._reference = reference
        self._number_layouts = {
            name: layout
            for name, layout in reference.layouts.items()
            if name not in reference.categories
        }
        self._number_profiles: dict[str, Profile] = {}
        self._counted: dict[str, list[pa.Table]] = {
            name: [] for name in reference.categories
        }

    def add(self, table: pa.Table) -> None:
        """Profile a table; a column that it does not have is missing in all its rows."""
        self.rows += table.num_rows
        columns: dict[str, pa.ChunkedArray] = {}
        for name, source in compared_columns(table).items():
            if name in self._reference.layouts:
                columns[name] = table[source]
            elif name not in self._reference.left_out:
                self.added[name] = None
        self._add_numbers(columns, table.num_rows)
        for name, parts in self._counted.items():
            if name in columns:
                parts.append(count_categories(columns[name]))

    def _add_numbers(self, columns: Mapping[str, pa.ChunkedArray], rows: int) -> None:
        if not self._number_layouts:
            return
        numbers = {name: pa.nulls(rows, pa.float64()) for name in self._number_layouts}
        for name in numbers:
            if name in columns:
                numbers[name] = values_of(columns[name], "numeric")
        profiles = number_profiles([pa.table(numbers)], self._number_layouts)
        for name, part in profiles.items():
            before = self._number_profiles.get(name)
            self._number_profiles[name] = part if before is None else part + before

    def categories(self) -> dict[str, pa.Table]:
        """Return the counts by value of each categorical column."""
        return {name: sum_counts(parts) for name, parts in self._counted.items()}

    def profiles(self, categories: Mapping[str, pa.Table]) -> dict[str, Profile]:
        """Return the profile of every column of the reference."""
        profiles = dict(self._number_profiles)
        for name, counted in categories.items():
            layout = self._reference.layouts[name]
            profiles[name] = category_profile(layout, counted, self.rows)
        return profiles


def _compare_columns(
    reference: ReferenceRows, current: CurrentRows, rules: Sequence[RuleConfig]
) -> list[Compared]:
    """Compare each column; those with the worst status and largest drift are first."""
    categories = current.categories()
    profiles = current.profiles(categories)
    p_values = _p_values(reference, profiles, categories)
    changed = changed_columns(p_values)
    findings = _evaluate(reference, profiles, rules)
    columns = []
    for name, layout in reference.layouts.items():
        column_findings = tuple(findings[name])
        compared = Compared(
            column=name,
            kind="prediction" if name == "prediction" else layout.kind,
            status=worst_checked([finding.verdict for finding in column_findings]),
            findings=column_findings,
            p_value=p_values[name],
            changed=name in changed,
            reference=reference.profiles[name],
            current=profiles[name],
        )
        columns.append(compared)
    columns.sort(key=lambda c: (-RANK[c.status], not c.changed, -_largest_excess(c)))
    return columns


def _p_values(
    reference: ReferenceRows,
    profiles: Mapping[str, Profile],
    categories: Mapping[str, pa.Table],
) -> dict[str, float | None]:
    p_values: dict[str, float | None] = {}
    for name, before in reference.profiles.items():
        if name in reference.categories:
            counts, current_counts = reference.categories[name], categories[name]
            p_values[name] = category_p_value(
                counts, current_counts, before, profiles[name]
            )
        else:
            p_values[name] = number_p_value(before, profiles[name])
    return p_values


def _evaluate(
    reference: ReferenceRows,
    profiles: Mapping[str, Profile],
    rules: Sequence[RuleConfig],
) -> dict[str, list[Finding]]:
    """Evaluate the rules on features and predictions; return the findings by column."""
    of_data = [rule for rule in rules if not statistics()[rule.statistic].COLUMNS]
    names = {name: name for name in reference.layouts}
    now = datetime.now(UTC)
    findings: dict[str, list[Finding]] = {name: [] for name in names}
    for finding in evaluate_all(
        of_data, "", profiles, reference.profiles, names, Window(now, now)
    ):
        findings[str(finding.column)].append(finding)
    return findings


def _largest_excess(compared: Compared) -> float:
    """Return the largest statistic of a column as a multiple of its limit."""
    excesses = [
        finding.value / finding.limit
        for finding in compared.findings
        if finding.value is not None and finding.limit
    ]
    return max(excesses, default=0.0)
