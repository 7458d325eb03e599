"""Profiles into the store: which columns are measured, over which segments; labels joined; rebuild from raw rows."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from monitor.arrow_columns import BATCH_ROWS, arrow_of
from monitor.contracts import DerivedColumn, ProfileColumn, ProfileTables
from monitor.engines import in_process
from monitor.layout import INTEGER, LOG, SECONDS, ZERO_ONE, Layout
from monitor.reconstruction import Errors
from monitor.schema import (
    LABEL_DELAY,
    LABELLED_PREDICTION,
    RECONSTRUCTION_ERROR,
    Feature,
)
from monitor.sql import quote
from monitor.store.profiles.compaction import trim_new_values
from monitor.store.rows.events import BASE, Model
from monitor.store.rows.wide_rows import Relation

SERVICE = (
    ProfileColumn("latency_ms", "latency_ms", LOG, "minute"),
    ProfileColumn("status", "status", INTEGER, "minute"),
)
WRONG = ProfileColumn("wrong", "wrong", ZERO_ONE, extremes=False)
ABSOLUTE_ERROR = ProfileColumn("absolute_error", "absolute_error", LOG, extremes=False)
DELAY = ProfileColumn(LABEL_DELAY, LABEL_DELAY, SECONDS, extremes=False)
MAX_SEGMENTS = 50
MAX_NEW_VALUES = 20_000  # that are written before they are trimmed
THRESHOLD = 0.5
CELLS_AT_ONCE = 4_000_000  # values that are read into memory at once
MIN_ROWS = 2048  # that the engine hands out at once

Layouts = Mapping[str, Layout]


def prediction_field(model: Model) -> str:
    """The column of the events table that holds what drifts when predictions drift."""
    return "predicted_class" if model.schema.prediction == "class" else "prediction"


def data_columns(model: Model, layouts: Layouts) -> list[ProfileColumn]:
    """The features, the prediction and the reconstruction error, as far as their layouts are frozen."""
    sources: dict[str, str | DerivedColumn] = {
        f.field: f.field for f in model.schema.features
    }
    sources["prediction"] = prediction_field(model)
    if model.reconstruction is not None:
        sources[RECONSTRUCTION_ERROR] = Errors(model.reconstruction, layouts)
    return [
        ProfileColumn(column, source, layouts[column])
        for column, source in sources.items()
        if column in layouts
    ]


def quality_column(model: Model) -> ProfileColumn | None:
    """The derived column that says how wrong a prediction was; None until the task is known."""
    if model.task == "regression":
        return ABSOLUTE_ERROR
    return WRONG if model.task in ("binary", "classification") else None


def labelled_columns(model: Model, layouts: Layouts) -> list[ProfileColumn]:
    """What is profiled of the predictions that have a label: how wrong they were, how long the label took, and what was
    predicted, so that it can be held against all predictions; nothing until the task is
    known.
    """
    quality = quality_column(model)
    if quality is None:
        return []
    predicted = layouts.get("prediction")
    source = prediction_field(model)
    return [
        quality,
        DELAY,
        *([ProfileColumn(LABELLED_PREDICTION, source, predicted)] if predicted else []),
    ]


def judge(model: Model) -> str:
    """SQL for `wrong` and `absolute_error` of rows with label, number, prediction and predicted_class."""
    if model.schema.prediction == "number":
        same = (
            f"(prediction >= {THRESHOLD}) = (number >= {THRESHOLD})"
            if model.task == "binary"
            else "prediction = number"
        )
        known = "prediction IS NOT NULL AND number IS NOT NULL"
    else:
        same, known = "predicted_class = label", "predicted_class IS NOT NULL"
    wrong = f"CASE WHEN {known} THEN CASE WHEN {same} THEN 0.0 ELSE 1.0 END END::DOUBLE AS wrong"
    return f"{wrong}, abs(number - prediction)::DOUBLE AS absolute_error"


Rows: TypeAlias = pa.Table | Relation


def profile_rows(
    con: duckdb.DuckDBPyConnection,
    rows: Rows,
    columns: Sequence[ProfileColumn],
    where: tuple[str, str] | None = None,
) -> ProfileTables:
    """The profile of rows, of those alone whose field equals a value if `where` names both."""
    found = list(profiles_of(con, rows, columns, where))
    return found[0] if len(found) == 1 else in_process.together(found)


def profiles_of(
    con: duckdb.DuckDBPyConnection,
    rows: Rows,
    columns: Sequence[ProfileColumn],
    where: tuple[str, str] | None = None,
) -> Iterator[ProfileTables]:
    """`profile_rows` some columns at a time, as they are best read: hours of ten thousand are gigabytes together."""
    if isinstance(rows, pa.Table):
        yield in_process.profile(
            rows if where is None else rows.filter(pc.equal(rows[where[0]], where[1])),
            columns,
        )
        return
    condition, params = (
        ("true", []) if where is None else (f"{rows.value(where[0])} = ?", [where[1]])
    )
    for fields in rows.together(
        dict.fromkeys(field for c in columns for field in c.fields)
    ):
        read = con.sql(
            f"SELECT ts, version{rows.values(fields)} FROM {quote(rows.name)} WHERE {condition}",
            params=params,
        )
        at_once = max(MIN_ROWS, min(BATCH_ROWS, CELLS_AT_ONCE // len(fields)))
        here = [c for c in columns if set(fields).issuperset(c.fields)]
        yield in_process.profile(read.to_arrow_reader(at_once), here)


def segment_features(model: Model, names: Sequence[str]) -> list[Feature]:
    """Those of the configured features that make segments of this model."""
    return [
        f
        for f in (model.schema.by_name.get(name) for name in names)
        if f and f.kind == "categorical"
    ]


def judged_columns(model: Model, segments: Sequence[str]) -> str:
    """SQL for what is needed of stored events once their labels are there: all but the features that make no segment."""
    base = ", ".join(name for name, _ in BASE)
    return base + Relation("", model.schema).values(
        f.field for f in segment_features(model, segments)
    )


class Profiler:
    """Adds to the stored profiles: of all rows, and of each segment.

    What is added is written at the end of `writing`.
    """

    def __init__(self, con: duckdb.DuckDBPyConnection) -> None:
        self.con = con
        self.rows = 0  # of profiles written since they were compacted
        self._new_values = 0  # written since they were trimmed
        self._parts: list[_Part] = []
        self._events: list[tuple[Model, pa.Table]] = []

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Write in one statement for each table what is added meanwhile; nothing when that fails."""
        self._parts, self._events = [], []
        try:
            yield
            self.write()
        finally:
            self._parts, self._events = [], []

    def add(
        self,
        model: Model,
        rows: Rows,
        columns: Sequence[ProfileColumn],
        segments: Sequence[str],
        sign: int = 1,
        register: bool = True,
    ) -> None:
        """Profile rows and add that to the stored profiles; sign -1 takes it back."""
        if not columns:
            return
        if register:
            self._register_segments(model, rows, segments)
        self._parts.append(
            _Part(model.id, "", sign, profile_rows(self.con, rows, columns))
        )
        self._add_segments(model, rows, columns, segments, sign)

    def _add_segments(
        self,
        model: Model,
        rows: Rows,
        columns: Sequence[ProfileColumn],
        segments: Sequence[str],
        sign: int,
    ) -> None:
        for segment, where in self._segments(model, segments):
            self._parts.append(
                _Part(
                    model.id,
                    segment,
                    sign,
                    profile_rows(self.con, rows, columns, where),
                )
            )

    def add_loaded(
        self, model: Model, rows: Rows, layouts: Layouts, segments: Sequence[str]
    ) -> None:
        """Profile newly stored events: service columns always, data columns once their layouts exist."""
        columns = data_columns(model, layouts)
        if isinstance(rows, Relation):
            self.add(model, rows, [*SERVICE, *columns], segments)
            return
        self._register_segments(model, rows, segments)
        # every model has the same service columns: they are profiled together, as a
        # call costs more than its rows
        self._events.append(
            (
                model,
                rows.select(
                    ["ts", "version", *(field for c in SERVICE for field in c.fields)]
                ),
            )
        )
        self.add(model, rows, columns, [], register=False)
        self._add_segments(model, rows, [*SERVICE, *columns], segments, 1)

    def add_matched(
        self, model: Model, layouts: Layouts, segments: Sequence[str]
    ) -> None:
        """Profile the predictions in `matched` with their labels, and take back what their `earlier` labels had added."""
        columns = labelled_columns(model, layouts)
        if columns:
            self._judge_and_add(model, "earlier", columns, segments, -1)
            self._judge_and_add(model, "matched", columns, segments, 1)

    def rebuild(self, model: Model, layouts: Layouts, segments: Sequence[str]) -> int:
        """Recompute every profile of a model from its raw rows; returns the number of rows read."""
        con = self.con
        for table in ("profile_bins", "profile_moments", "new_values"):
            con.execute(f"DELETE FROM {table} WHERE model = ?", [model.id])
        months = con.execute(
            f"SELECT DISTINCT date_trunc('month', ts) FROM {model.events} ORDER BY 1"
        ).fetchall()
        rows = 0
        for (month,) in months:
            span = f"ts >= TIMESTAMP '{month}' AND ts < TIMESTAMP '{month}' + INTERVAL 1 MONTH"
            con.execute(
                f"CREATE OR REPLACE TEMP VIEW fresh AS SELECT * FROM {model.events} WHERE {span}"
            )
            self.add_loaded(model, Relation("fresh", model.schema), layouts, segments)
            rows += int(con.execute("SELECT count(*) FROM fresh").fetchall()[0][0])
        columns = labelled_columns(model, layouts)
        if columns:
            con.execute(
                f"CREATE OR REPLACE TEMP TABLE matched AS SELECT l.event_id, l.label, l.number, l.ts AS label_ts, "
                f"e.* EXCLUDE (event_id) FROM {model.labels} l JOIN (SELECT {judged_columns(model, segments)} FROM {model.events}) e "
                "ON l.event_id = e.event_id WHERE l.joined"
            )
            self._judge_and_add(model, "matched", columns, segments, 1)
        return rows

    def _judge_and_add(
        self,
        model: Model,
        rows: str,
        columns: Sequence[ProfileColumn],
        segments: Sequence[str],
        sign: int,
    ) -> None:
        con = self.con
        con.execute(
            f"CREATE OR REPLACE TEMP TABLE judged AS SELECT *, {judge(model)}, "
            f"greatest(0, epoch(label_ts - ts))::DOUBLE AS {LABEL_DELAY} FROM {quote(rows)}"
        )
        self.add(model, Relation("judged"), columns, segments, sign, register=False)
        con.execute("DROP TABLE judged")

    def _register_segments(
        self, model: Model, rows: Rows, names: Sequence[str]
    ) -> None:
        # the first values seen stay the segments for good, so that a rebuild profiles
        # the same ones
        features = segment_features(model, names)
        if features and isinstance(rows, pa.Table):
            with _registered(
                self.con, rows.select([f.field for f in features])
            ) as table:
                self._register_segments(model, Relation(table), names)
            return
        for feature in features if isinstance(rows, Relation) else ():
            name = feature.name
            field = rows.value(feature.field)
            self.con.execute(
                f"INSERT INTO segments SELECT $model, $name, $name || '=' || v, v FROM (SELECT {field} AS v, count(*) AS n "
                f'FROM {quote(rows.name)} WHERE {field} IS NOT NULL AND {field} NOT IN (SELECT "value" FROM segments WHERE model = $model AND feature = $name) '
                f"GROUP BY 1 ORDER BY n DESC, v) LIMIT greatest(0, {MAX_SEGMENTS} - (SELECT count(*) FROM segments WHERE model = $model AND feature = $name))",
                {"model": model.id, "name": name},
            )

    def _segments(
        self, model: Model, names: Sequence[str]
    ) -> Iterable[tuple[str, tuple[str, str]]]:
        if not names:
            return []
        known = self.con.execute(
            'SELECT feature, segment, "value" FROM segments WHERE model = ? ORDER BY segment',
            [model.id],
        ).fetchall()
        return [
            (segment, (model.schema.by_name[feature].field, value))
            for feature, segment, value in known
            if feature in names
        ]

    def write(self) -> None:
        """Write what was added."""
        con, parts, events = self.con, self._parts, self._events
        self._parts, self._events = [], []
        service = _service(events)
        with _registered(
            con, _labelled(parts, [p.profiled.bins for p in parts], service.bins)
        ) as bins:
            con.execute(
                f'INSERT INTO profile_bins SELECT model, segment, version, "column", bucket, layout, bin, n * sign FROM {bins}'
            )
        with _registered(
            con, _labelled(parts, [p.profiled.moments for p in parts], service.moments)
        ) as moments:
            con.execute(
                'INSERT INTO profile_moments SELECT model, segment, version, "column", bucket, layout, "rows" * sign, '
                f'missing * sign, invalid * sign, "sum" * sign, sum_sq * sign, "min", "max" FROM {moments}'
            )
        new = [
            p
            for p in parts
            if p.sign > 0 and not p.segment and p.profiled.new_values.num_rows
        ]
        if new:
            with _registered(
                con, _labelled(new, [p.profiled.new_values for p in new])
            ) as values:
                con.execute(
                    f'INSERT INTO new_values SELECT model, version, "column", "value", n, first_seen FROM {values}'
                )
            self._new_values += sum(p.profiled.new_values.num_rows for p in new)
            if self._new_values > MAX_NEW_VALUES:
                trim_new_values(con)
                self._new_values = 0
        self.rows += sum(p.profiled.bins.num_rows for p in parts)


@dataclass(frozen=True)
class _Part:
    """What is added to the profiles of one segment of a model; sign -1 takes it back."""

    model: int
    segment: str
    sign: int
    profiled: ProfileTables


def _labelled(
    parts: Sequence[_Part], tables: Sequence[pa.Table], *labelled: pa.Table
) -> pa.Table:
    """The tables as one, each with model, segment and sign of its part, and those that have them already."""
    which = arrow_of(
        np.repeat(np.arange(len(parts)), [table.num_rows for table in tables])
    )
    about = (
        ("model", pa.array([p.model for p in parts], pa.int32())),
        ("segment", pa.array([p.segment for p in parts], pa.string())),
        ("sign", pa.array([p.sign for p in parts], pa.int8())),
    )
    if parts:
        whole = pa.concat_tables(tables)
        for name, values in about:
            whole = whole.append_column(name, values.take(which))
        labelled = (whole, *labelled)
    return pa.concat_tables(labelled)


def _service(events: Sequence[tuple[Model, pa.Table]]) -> ProfileTables:
    """The profiles of the service columns of several models' events, labelled, from one call: their versions bear the
    models' ids meanwhile.
    """
    form = pa.schema([("ts", pa.timestamp("us")), ("version", pa.string())])
    tagged = [
        rows.set_column(
            1, "version", pc.binary_join_element_wise(str(m.id), rows["version"], ":")
        )
        for m, rows in events
    ]
    rows = pa.concat_tables(tagged).combine_chunks() if tagged else form.empty_table()
    profiled = in_process.profile(rows, SERVICE)
    return ProfileTables(
        _untagged(profiled.bins), _untagged(profiled.moments), profiled.new_values
    )


def _untagged(table: pa.Table) -> pa.Table:
    n = table.num_rows
    tag = (
        pc.split_pattern(table["version"], ":", max_splits=1).combine_chunks().flatten()
    )
    pairs = arrow_of(np.arange(n) * 2)
    version = tag.take(pc.add(pairs, 1))
    table = table.set_column(table.column_names.index("version"), "version", version)
    table = table.append_column("model", tag.take(pairs).cast(pa.int32()))
    table = table.append_column("segment", pa.array([""] * n, pa.string()))
    return table.append_column("sign", pa.array([1] * n, pa.int8()))


class _registered:
    """An Arrow table under a name that SQL can use, for the length of a `with`."""

    def __init__(self, con: duckdb.DuckDBPyConnection, table: pa.Table) -> None:
        self.con, self.table = con, table

    def __enter__(self) -> str:
        self.con.register("profiled_rows", self.table)
        return "profiled_rows"

    def __exit__(self, *_: object) -> None:
        self.con.unregister("profiled_rows")
