"""The five sockets: what a file in statistics/, sources/, engines/, channels/ or protocols/ has to offer."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import pyarrow as pa

from monitor.errors import PayloadError
from monitor.event import Refusal
from monitor.finding import Measurement
from monitor.layout import Layout
from monitor.profile import Profile


class Statistic(Protocol):
    """statistics/NAME.py: one number from two profiles, with what a reader must know of it."""

    NAME: str
    UNIT: str
    RANGE: tuple[float, float]
    FORMULA: str
    SOURCE: str
    KINDS: frozenset[str]  # the kinds of layout it is for
    # built-in columns it is for; empty: features and the prediction
    COLUMNS: tuple[str, ...]
    NEEDS_REFERENCE: bool
    MINIMUM: int  # rows below which a verdict is "insufficient"

    def measure(
        self, reference: Profile | None, current: Profile, **options: Any
    ) -> Measurement:
        """The value with its interval; value None when it cannot be computed.

        Never raises on data.
        """


@dataclass(frozen=True)
class Chunk:
    """Some records of a source: a table, the line of its first record, and what could not be read."""

    table: pa.Table
    first_line: int
    refusals: Sequence[Refusal] = ()
    bytes_read: int = 0

    def __post_init__(self) -> None:
        """Raises PayloadError when two columns have one name."""
        check_names(self.table.column_names)


def check_names(names: Sequence[str]) -> None:
    """Raises PayloadError when a name is there more than once."""
    twice = next((name for name, n in Counter(names).items() if n > 1), None)
    if twice is not None:
        raise PayloadError(
            f"the column {twice[:40]!r} is there more than once; give each column a name of its own"
        )


class Source(Protocol):
    """sources/NAME.py: one format; the same records in give the same table out."""

    MEDIA_TYPES: tuple[str, ...]
    SUFFIXES: tuple[str, ...]

    def read_bytes(self, body: bytes) -> Chunk:
        """All records of one request body.

        Raises PayloadError when nothing of it can be read.
        """

    def read_file(self, path: Path, rows: int) -> Iterator[Chunk]:
        """The records of a file in chunks of about `rows`.

        Raises PayloadError when nothing of it can be read.
        """


class DerivedColumn(Protocol):
    """A column that is not in the rows but made from some that are."""

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields of a row that it is made from."""

    def values(self, batch: pa.RecordBatch) -> pa.Array:
        """Its value in each row, from that row alone."""


@dataclass(frozen=True)
class ProfileColumn:
    """One column to profile: its key, where it stands in the rows or what it is made from, its layout and bucket width."""

    column: str
    source: str | DerivedColumn
    layout: Layout
    bucket: str = "hour"  # or "minute"
    # False where rows may be taken back later: min and max cannot be subtracted
    extremes: bool = True

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields of a row that it needs."""
        return (self.source,) if isinstance(self.source, str) else self.source.fields

    def values(self, batch: pa.RecordBatch) -> pa.Array:
        """Its value in each row."""
        return (
            batch[self.source]
            if isinstance(self.source, str)
            else self.source.values(batch)
        )


@dataclass(frozen=True)
class ProfileTables:
    """Profile rows as Arrow tables: bins (…, bin, n), moments (…, rows, missing, invalid, sum, sum_sq, min, max) and
    new_values (…, value, n, first_seen); each row begins with version, column, bucket,
    layout."""

    bins: pa.Table
    moments: pa.Table
    new_values: pa.Table


class Engine(Protocol):
    """engines/NAME.py: the profile function on one execution engine, equal bin for bin to Layout.index."""

    def profile(self, rows: Any, columns: Sequence[ProfileColumn]) -> ProfileTables:
        """Profile rows of a table that has `ts` (UTC), `version` and each column's field."""


@dataclass(frozen=True)
class Request:
    """What a channel wants sent: nothing is sent by the channel itself."""

    url: str
    body: bytes
    headers: dict[str, str]


class Channel(Protocol):
    """channels/NAME.py: an alert's message to the request that tells somebody."""

    TYPE: str

    def render(
        self,
        url: str,
        secret: str,
        body: Mapping[str, Any],
        message_id: str,
        at: datetime,
    ) -> Request:
        """The signed request for one state change; `message_id` is the same on every try."""


class NotUnderstood(ValueError):
    """A body that is not in the format; the sentence says why.

    It is forwarded and counted all the same.
    """


class Target(NamedTuple):
    """Which model a request asks; the version may be open."""

    model: str
    version: str = ""


class Row(NamedTuple):
    """One prediction in a request and its answer."""

    features: dict[str, Any]
    prediction: Any


@dataclass(frozen=True)
class FieldChoice:
    """What to look for where a format leaves it open: the output that is the prediction, the places in plain JSON."""

    output: str | None = None
    features: str = "features"
    prediction: str = "prediction"


class ServingProtocol(Protocol):
    """protocols/NAME.py: one format of model servers, from bytes to rows; pure."""

    NAME: str

    def target(self, path: str) -> Target | None:
        """The model that a request path asks for a prediction; None for health, metadata and all else."""

    def read(
        self, request: bytes, response: bytes | None, wanted: FieldChoice
    ) -> list[Row]:
        """The rows in a request and its answer (None: it failed).

        Raises NotUnderstood.
        """
