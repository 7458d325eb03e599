"""Profiles into the store: of new rows, of joined labels, and again of all raw rows."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from monitor.arrow_columns import arrow_of
from monitor.contracts import Engine, ProfileColumn, ProfileTables
from monitor.schema import LABEL_DELAY
from monitor.sql import quote
from monitor.store.database import Database, registered
from monitor.store.model import Model
from monitor.store.profiles.compaction import CompactionBacklog, trim_new_values
from monitor.store.profiles.profiled_columns import (
    SERVICE,
    Layouts,
    data_columns,
    error_columns,
    labelled_columns,
    select_labelled,
)
from monitor.store.profiles.row_profiles import Rows, profile_rows
from monitor.store.profiles.segments import read_segments, register_segments
from monitor.store.rows.wide_rows import Relation

MAX_UNTRIMMED_VALUES = 20_000  # new values that are written before they are trimmed


@dataclass(frozen=True)
class ProfilePart:
    """An addition to the profiles of one segment of a model; sign -1 subtracts it."""

    model: int
    segment: str
    sign: int
    profiled: ProfileTables


class Profiler:
    """Adds to the stored profiles of all rows and of each segment.

    Additions are written at the end of `writing`. It works on the writing connection,
    inside the caller's transaction.
    """

    def __init__(self, database: Database, engine: Engine) -> None:
        self._database, self.engine = database, engine
        self.backlog = CompactionBacklog()
        self._untrimmed = 0  # new values
        self._parts: list[ProfilePart] = []
        self._events: list[tuple[Model, pa.Table]] = []

    def reset(self) -> None:
        """Forget what is not written, as the database was opened again."""
        self.backlog = CompactionBacklog()
        self._untrimmed = 0
        self._parts, self._events = [], []

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Write all additions at the end, in one statement a table; none on an error."""
        self._parts, self._events = [], []
        try:
            yield
            self._write()
        finally:
            self._parts, self._events = [], []

    def add_loaded(
        self, model: Model, rows: Rows, layouts: Layouts, segments: Sequence[str]
    ) -> None:
        """Profile new events: their service columns, and data columns that have layouts."""
        register_segments(self._database.connection, model, rows, segments)
        columns = data_columns(model, layouts)
        if isinstance(rows, Relation):
            self._add(model, rows, [*SERVICE, *columns], segments)
            return
        # Every model has the same service columns. They are profiled together, as a
        # call costs more than its rows.
        fields = [field for column in SERVICE for field in column.fields]
        self._events.append((model, rows.select(["ts", "version", *fields])))
        self._add(model, rows, columns, [])
        self._add_segments(model, rows, [*SERVICE, *columns], segments)

    def add_matched(
        self, model: Model, layouts: Layouts, segments: Sequence[str]
    ) -> None:
        """Profile the predictions in `matched` with their labels, and subtract `earlier`.

        Both are tables that joining labels leaves.
        """
        columns = labelled_columns(model, layouts)
        if columns:
            self._add_labelled(model, "earlier", columns, segments, -1)
            self._add_labelled(model, "matched", columns, segments, 1)

    def rebuild(self, model: Model, layouts: Layouts, segments: Sequence[str]) -> int:
        """Compute every profile of a model again from its raw rows; return how many."""
        con = self._database.connection
        for table in ("profile_bins", "profile_moments", "new_values"):
            con.execute(f"DELETE FROM {table} WHERE model = ?", [model.id])
        months = con.execute(
            f"SELECT DISTINCT date_trunc('month', ts) FROM {model.events} ORDER BY 1"
        ).fetchall()
        rows = 0
        for (month,) in months:
            start = f"TIMESTAMP '{month}'"
            con.execute(
                "CREATE OR REPLACE TEMP VIEW month_rows AS "
                f"SELECT * FROM {model.events} "
                f"WHERE ts >= {start} AND ts < {start} + INTERVAL 1 MONTH"
            )
            relation = Relation("month_rows", model.schema)
            self.add_loaded(model, relation, layouts, segments)
            rows += int(con.execute("SELECT count(*) FROM month_rows").fetchall()[0][0])
        columns = labelled_columns(model, layouts)
        if columns:
            self._match_all(model, segments)
            self._add_labelled(model, "matched", columns, segments, 1)
        return rows

    def _match_all(self, model: Model, segments: Sequence[str]) -> None:
        """Create the table `matched` of all joined labels with their events."""
        events = f"(SELECT {select_labelled(model, segments)} FROM {model.events})"
        self._database.connection.execute(
            "CREATE OR REPLACE TEMP TABLE matched AS "
            "SELECT l.event_id, l.label, l.number, l.ts AS label_ts, "
            f"e.* EXCLUDE (event_id) FROM {model.labels} l "
            f"JOIN {events} e ON l.event_id = e.event_id WHERE l.joined"
        )

    def _add_labelled(
        self,
        model: Model,
        table: str,
        columns: Sequence[ProfileColumn],
        segments: Sequence[str],
        sign: int,
    ) -> None:
        con = self._database.connection
        con.execute(
            "CREATE OR REPLACE TEMP TABLE labelled_rows AS "
            f"SELECT *, {error_columns(model)}, "
            f"greatest(0, epoch(label_ts - ts))::DOUBLE AS {LABEL_DELAY} "
            f"FROM {quote(table)}"
        )
        self._add(model, Relation("labelled_rows"), columns, segments, sign)
        con.execute("DROP TABLE labelled_rows")

    def _add(
        self,
        model: Model,
        rows: Rows,
        columns: Sequence[ProfileColumn],
        segments: Sequence[str],
        sign: int = 1,
    ) -> None:
        """Profile rows as a whole and by segment."""
        if not columns:
            return
        profiled = profile_rows(self._database.connection, self.engine, rows, columns)
        self._parts.append(ProfilePart(model.id, "", sign, profiled))
        self._add_segments(model, rows, columns, segments, sign)

    def _add_segments(
        self,
        model: Model,
        rows: Rows,
        columns: Sequence[ProfileColumn],
        segments: Sequence[str],
        sign: int = 1,
    ) -> None:
        con = self._database.connection
        for segment, where in read_segments(con, model, segments):
            profiled = profile_rows(con, self.engine, rows, columns, where)
            self._parts.append(ProfilePart(model.id, segment, sign, profiled))

    def _write(self) -> None:
        con, parts = self._database.connection, self._parts
        service = _profile_service(self.engine, self._events)
        tables = [part.profiled.bins for part in parts]
        with registered(con, _join_parts(parts, tables, service.bins)) as bins:
            con.execute(
                'INSERT INTO profile_bins SELECT model, segment, version, "column", '
                f"bucket, layout, bin, n * sign FROM {bins}"
            )
        tables = [part.profiled.moments for part in parts]
        with registered(con, _join_parts(parts, tables, service.moments)) as moments:
            con.execute(
                "INSERT INTO profile_moments SELECT model, segment, version, "
                '"column", bucket, layout, "rows" * sign, missing * sign, '
                'invalid * sign, "sum" * sign, sum_sq * sign, "min", "max" '
                f"FROM {moments}"
            )
        self._write_new_values()
        self.backlog.rows += sum(part.profiled.bins.num_rows for part in parts)

    def _write_new_values(self) -> None:
        con = self._database.connection
        parts = [
            part
            for part in self._parts
            if part.sign > 0 and not part.segment and part.profiled.new_values.num_rows
        ]
        if not parts:
            return
        tables = [part.profiled.new_values for part in parts]
        with registered(con, _join_parts(parts, tables)) as values:
            con.execute(
                'INSERT INTO new_values SELECT model, version, "column", "value", n, '
                f"first_seen FROM {values}"
            )
        self._untrimmed += sum(table.num_rows for table in tables)
        if self._untrimmed > MAX_UNTRIMMED_VALUES:
            trim_new_values(con)
            self._untrimmed = 0


def _join_parts(
    parts: Sequence[ProfilePart], tables: Sequence[pa.Table], *labelled: pa.Table
) -> pa.Table:
    """Join the tables of parts, adding model, segment and sign; `labelled` have them."""
    if not parts:
        return pa.concat_tables(labelled)
    rows = [table.num_rows for table in tables]
    part_of_row = arrow_of(np.repeat(np.arange(len(parts)), rows))
    joined = pa.concat_tables(tables)
    for name, values in (
        ("model", pa.array([part.model for part in parts], pa.int32())),
        ("segment", pa.array([part.segment for part in parts], pa.string())),
        ("sign", pa.array([part.sign for part in parts], pa.int8())),
    ):
        joined = joined.append_column(name, values.take(part_of_row))
    return pa.concat_tables([joined, *labelled])


def _profile_service(
    engine: Engine, events: Sequence[tuple[Model, pa.Table]]
) -> ProfileTables:
    """Profile the service columns of several models' events in one call.

    Meanwhile each version is prefixed with its model's id. The tables have model,
    segment and sign.
    """
    prefixed = []
    for model, rows in events:
        version = pc.binary_join_element_wise(str(model.id), rows["version"], ":")
        prefixed.append(rows.set_column(1, "version", version))
    form = pa.schema([("ts", pa.timestamp("us")), ("version", pa.string())])
    rows = form.empty_table()
    if prefixed:
        rows = pa.concat_tables(prefixed).combine_chunks()
    profiled = engine.profile(rows, SERVICE)
    bins, moments = _split_version(profiled.bins), _split_version(profiled.moments)
    return ProfileTables(bins, moments, profiled.new_values)


def _split_version(table: pa.Table) -> pa.Table:
    """Turn the prefix of `version` into the column model; add segment "" and sign 1."""
    n = table.num_rows
    pairs = pc.split_pattern(table["version"], ":", max_splits=1)
    flat = pairs.combine_chunks().flatten()
    first = arrow_of(np.arange(n) * 2)
    version = flat.take(pc.add(first, 1))
    table = table.set_column(table.column_names.index("version"), "version", version)
    table = table.append_column("model", flat.take(first).cast(pa.int32()))
    table = table.append_column("segment", pa.array([""] * n, pa.string()))
    return table.append_column("sign", pa.array([1] * n, pa.int8()))
