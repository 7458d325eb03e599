"""The ids of the newest stored events as 64-bit hashes, to recognise duplicates."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from monitor.arrow_columns import numpy_of
from monitor.store.database import registered
from monitor.store.model import Model

CAPACITY = 4_000_000  # ids of 8 bytes each
MAX_GENERATIONS = 8
MAX_RUNS = 6  # sorted arrays of one generation, before they are merged
# read from the database at the start: the longest whose ids fit
TIME_RANGES = (timedelta(hours=24), timedelta(hours=6), timedelta(hours=1))
# of one statement: a statement each needed 2.7 CPU s for a thousand models, this 1.0
MAX_MODELS = 100
GOLDEN = 0x9E3779B97F4A7C15


class RecentIds:
    """Every id of the events that were stored at `since` (naive UTC) or later.

    An event that happened after `since` cannot have been stored before it. Two
    different ids count as equal with a chance of 2e-13 for each event (4 million in
    2^64).
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._generation_size = capacity // MAX_GENERATIONS
        self.clear()

    def clear(self) -> None:
        """Forget every id."""
        self.since = datetime.min
        self._generations: list[list[np.ndarray]] = [[]]
        self._begun: list[datetime] = [datetime.min]

    def fill(
        self, con: duckdb.DuckDBPyConnection, models: Sequence[Model], now: datetime
    ) -> None:
        """Begin with the ids that the database has of the last hours."""
        self.clear()
        naive = now.astimezone(UTC).replace(tzinfo=None)
        starts = [naive - length for length in TIME_RANGES]
        fitting = self._fitting(con, models, starts)
        self.since = naive if fitting is None else fitting
        self._begun = [self.since]
        if fitting is None:
            return
        salts = np.array([_salt(model) for model in models], np.uint64)
        for rows in _of_each(con, models, "hash(event_id) AS h", self.since):
            hashes = numpy_of(rows["h"]) ^ salts[numpy_of(rows["place"])]
            self.add(np.sort(hashes), naive)

    def _fitting(
        self,
        con: duckdb.DuckDBPyConnection,
        models: Sequence[Model],
        starts: Sequence[datetime],
    ) -> datetime | None:
        """Return the first start since which not too many events happened, None if none."""
        columns = ", ".join(
            f"count(*) FILTER (ts >= TIMESTAMP '{start}') AS since_{i}"
            for i, start in enumerate(starts)
        )
        counts = list(_of_each(con, models, columns, starts[0]))
        capacity = self._generation_size * (MAX_GENERATIONS - 1)
        for i, start in enumerate(starts):
            if sum(pc.sum(rows[f"since_{i}"]).as_py() for rows in counts) <= capacity:
                return start
        return None

    def hashes(
        self, con: duckdb.DuckDBPyConnection, rows: Sequence[tuple[Model, pa.Table]]
    ) -> np.ndarray:
        """Hash each `event_id` of some models, one model after another: (rows,), uint64.

        Equal ids of different models have different hashes.
        """
        if not rows:
            return np.empty(0, np.uint64)
        ids = pa.concat_tables(table.select(["event_id"]) for _, table in rows)
        with registered(con, ids, "incoming_ids"):
            hashed = con.sql("SELECT hash(event_id) AS h FROM incoming_ids")
            hashes = numpy_of(hashed.to_arrow_table()["h"])
        salts = [_salt(model) for model, _ in rows]
        return hashes ^ np.repeat(salts, [table.num_rows for _, table in rows])

    def new(self, hashes: np.ndarray) -> np.ndarray:
        """Return a mask (n,) of hashes that are not stored, the first of equal ones."""
        order = np.argsort(hashes, kind="stable")
        ascending = hashes[order]
        first = ~self.stored(ascending)
        first[1:] &= ascending[1:] != ascending[:-1]
        new = np.zeros(len(order), bool)
        new[order[first]] = True
        return new

    def stored(self, ascending: np.ndarray) -> np.ndarray:
        """Return a mask (n,) of hashes, in ascending order, that are stored."""
        stored = np.zeros(len(ascending), bool)
        for generation in self._generations:
            for run in generation:
                place = np.searchsorted(run, ascending)
                place[place == len(run)] = 0
                stored |= run[place] == ascending
        return stored

    def add(self, ascending: np.ndarray, now: datetime) -> None:
        """Remember hashes, in ascending order, of events that are stored `now`.

        Beyond the capacity, the oldest generation is forgotten.
        """
        if not len(ascending):
            return
        newest = self._generations[-1]
        newest.append(ascending)
        full = sum(map(len, newest)) >= self._generation_size
        if len(newest) > MAX_RUNS or full:
            self._generations[-1] = [np.sort(np.concatenate(newest), kind="stable")]
        if full:
            self._generations.append([])
            self._begun.append(now)
            if len(self._generations) > MAX_GENERATIONS:
                del self._generations[0], self._begun[0]
                self.since = self._begun[0]


def _of_each(
    con: duckdb.DuckDBPyConnection,
    models: Sequence[Model],
    columns: str,
    since: datetime,
) -> Iterator[pa.Table]:
    """Select columns of each model's events since a time (naive UTC), some models at once.

    `place` is the model's place among the models.
    """
    for first in range(0, len(models), MAX_MODELS):
        selects = [
            f"SELECT {place} AS place, {columns} FROM {model.events} WHERE ts >= $since"
            for place, model in enumerate(models[first : first + MAX_MODELS], first)
        ]
        union = " UNION ALL ".join(selects)
        yield con.sql(union, params={"since": since}).to_arrow_table()


def _salt(model: Model) -> np.uint64:
    return np.uint64(model.id * GOLDEN % 2**64)
