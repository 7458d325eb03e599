"""The ids of the events stored last, as 64-bit hashes: is this one a repeat?"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from monitor.arrow_columns import numpy_of
from monitor.store.rows.events import Model

CAPACITY = 4_000_000  # ids, 8 bytes each
GENERATIONS = 8
RUNS = 6  # sorted arrays of one generation before they become one
# tried at the start, the longest that fits
SPANS = (timedelta(hours=24), timedelta(hours=6), timedelta(hours=1))
TOGETHER = 100  # models of one statement
GOLDEN = 0x9E3779B97F4A7C15


class RecentIds:
    """Knows every id of what was stored since `since`; an event that happened later cannot have been stored before.

    Two different ids are taken for one with a chance of 2e-13 for each event (4 million
    in 2^64).
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self.since = datetime.min
        self._size = capacity // GENERATIONS
        self._generations: list[list[np.ndarray]] = [[]]
        self._begun: list[datetime] = [datetime.min]

    def fill(
        self, con: duckdb.DuckDBPyConnection, models: list[Model], now: datetime
    ) -> None:
        """Begin with what the database holds of the last hours."""
        naive = now.astimezone(UTC).replace(tzinfo=None)
        since = [naive - span for span in SPANS]
        within = ", ".join(
            f"count(*) FILTER (ts >= TIMESTAMP '{at}') AS span_{i}"
            for i, at in enumerate(since)
        )
        counts = list(_of_each(con, models, within, since[0]))
        stored = [
            sum(pc.sum(some[f"span_{i}"]).as_py() for some in counts)
            for i in range(len(SPANS))
        ]
        most = self._size * (GENERATIONS - 1)
        fitting = next((i for i, n in enumerate(stored) if n <= most), None)
        self.since = naive if fitting is None else since[fitting]
        self._begun = [self.since]
        if fitting is None:
            return
        salts = np.array([_salt(model) for model in models], np.uint64)
        for found in _of_each(con, models, "hash(event_id) AS h", self.since):
            self.add(
                np.sort(numpy_of(found["h"]) ^ salts[numpy_of(found["place"])]), naive
            )

    def hashes(
        self, con: duckdb.DuckDBPyConnection, ids: Sequence[tuple[Model, pa.Table]]
    ) -> np.ndarray:
        """The hash of each `event_id` of some models, one after another, shape (rows,), uint64; those of different models differ."""
        if not ids:
            return np.empty(0, np.uint64)
        con.register(
            "incoming_ids",
            pa.concat_tables(rows.select(["event_id"]) for _, rows in ids),
        )
        try:
            hashed = numpy_of(
                con.sql(
                    "SELECT hash(event_id) AS h FROM incoming_ids"
                ).to_arrow_table()["h"]
            )
        finally:
            con.unregister("incoming_ids")
        return hashed ^ np.repeat(
            [_salt(model) for model, _ in ids], [rows.num_rows for _, rows in ids]
        )

    def new(self, hashes: np.ndarray) -> np.ndarray:
        """For each of some hashes whether its event is not stored and no earlier one has the same; shape (n,)."""
        order = np.argsort(hashes, kind="stable")
        ordered = hashes[order]
        first = ~self.known(ordered)
        first[1:] &= ordered[1:] != ordered[:-1]
        new = np.zeros(len(order), bool)
        new[order[first]] = True
        return new

    def known(self, ordered: np.ndarray) -> np.ndarray:
        """For each of some hashes in ascending order, whether its event is stored; shape (n,)."""
        found = np.zeros(len(ordered), bool)
        for run in (run for generation in self._generations for run in generation):
            place = np.searchsorted(run, ordered)
            place[place == len(run)] = 0
            found |= run[place] == ordered
        return found

    def add(self, ordered: np.ndarray, now: datetime) -> None:
        """Remember hashes, in ascending order, of events that are stored now.

        The oldest are forgotten by the generation.
        """
        if not len(ordered):
            return
        newest = self._generations[-1]
        newest.append(ordered)
        full = sum(map(len, newest)) >= self._size
        if len(newest) > RUNS or full:
            self._generations[-1] = [np.sort(np.concatenate(newest), kind="stable")]
        if full:
            self._generations.append([])
            self._begun.append(now)
            if len(self._generations) > GENERATIONS:
                del self._generations[0], self._begun[0]
                self.since = self._begun[0]


def _of_each(
    con: duckdb.DuckDBPyConnection, models: Sequence[Model], what: str, since: datetime
) -> Iterator[pa.Table]:
    """`what` SQL says of each model's events since a time (naive UTC), beside its `place` among the models.

    Some models at a time: a statement for each took 2.7 CPU s for a thousand, this 1.0.
    """
    for start in range(0, len(models), TOGETHER):
        some = enumerate(models[start : start + TOGETHER], start)
        each = (
            f"SELECT {place} AS place, {what} FROM {model.events} WHERE ts >= $since"
            for place, model in some
        )
        yield con.sql(
            " UNION ALL ".join(each), params={"since": since}
        ).to_arrow_table()


def _salt(model: Model) -> np.uint64:
    return np.uint64(model.id * GOLDEN % 2**64)
