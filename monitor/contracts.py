"""Contracts of the five kinds of plug-ins: statistic, source, engine, channel, serving protocol.

A plug-in is a module or an object with these attributes. `monitor/plugins.py` finds
plug-ins, checks them against their contract, and sets each optional attribute that one
leaves out to its default.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import pyarrow as pa

from monitor.errors import PayloadError, TooLarge
from monitor.event import MAX_FEATURES, Refusal
from monitor.finding import Measurement
from monitor.layout import Layout
from monitor.profile import Profile

Group = Literal["data", "service", "quality"]
MAX_NEW_VALUES = 1000  # in one ProfileTables: the most frequent


class Statistic(Protocol):
    """statistics/NAME.py: a number computed from two profiles, and all that is known of it."""

    NAME: str  # the name of its file, as rules and addresses write it
    TITLE: str  # its name for people, in a sentence: "drift (PSI)"
    GROUP: Group  # the part of a model's status that it counts for
    UNIT: str
    RANGE: tuple[float, float]
    FORMULA: str
    SOURCE: str
    KINDS: frozenset[str]  # kinds of layout that it can measure
    NEEDS_REFERENCE: bool
    MINIMUM: int  # rows; with fewer the verdict is "insufficient"

    # Optional, with their defaults.
    # built-in columns that it measures; (): features and the prediction
    COLUMNS: tuple[str, ...]
    # what a rule compares with its limit: the value, or its increase over the
    # reference ("value")
    COMPARE: Literal["value", "increase"]
    # it is a distance of two distributions: the drift page offers it (False)
    DISTANCE: bool
    # the page of one column shows it without a rule on it (False)
    ON_COLUMN_PAGE: bool
    # "binomial": an exact interval of a share of rows; "similar": an interval about as
    # long at the limit as at the value, plus `growth`; "unknown" ("similar")
    INTERVAL: Literal["binomial", "similar", "unknown"]
    # it counts rows: none at all are the value 0, not missing data (False)
    COUNTS_ROWS: bool
    # the kind of cause that a breach suggests; see evaluation/cause.py ("change")
    CAUSE: str

    def measure(
        self, reference: Profile | None, current: Profile, **options: Any
    ) -> Measurement:
        """The value with its interval; value None when it cannot be computed.

        `options`: q, the quantile of the rule. Never raises on data.
        """

    def fits(self, layout: Layout) -> bool:
        """True if a layout of one of the KINDS can be measured. Default: True."""

    def expected(self, reference: Profile, **options: Any) -> Measurement:
        """The value without drift, which an increase is measured from.

        Default: `measure` of the reference beside itself.
        """

    def growth(self, n: int, n_reference: int) -> float:
        """Growth of the squared half of the interval with the value. Default: 0."""

    def noise(self, reference: Profile | None, current: Profile) -> float | None:
        """The value that 95 % of samples without drift stay below. Default: None, unknown."""


@dataclass(frozen=True)
class Chunk:
    """Rows of a source: a table, the line of its first row, and the refused rows."""

    table: pa.Table
    first_line: int
    refusals: Sequence[Refusal] = ()
    bytes_read: int = 0

    def __post_init__(self) -> None:
        """Raise PayloadError when two columns have one name."""
        check_names(self.table.column_names)


@dataclass(frozen=True)
class BodyLimits:
    """The limits of one body; a source checks them before it unpacks or converts rows."""

    max_rows: int = 10_000
    max_bytes: int = 5 << 20  # unpacked
    max_columns: int = MAX_FEATURES + 1000

    def check_rows(self, rows: int) -> None:
        """Raise TooLarge when there are more than `max_rows` rows."""
        if rows > self.max_rows:
            raise TooLarge(
                f"the body has more than {self.max_rows:,} rows; send smaller batches"
            )

    def check_bytes(self, size: int) -> None:
        """Raise TooLarge when the rows have more than `max_bytes` bytes unpacked."""
        if size > self.max_bytes:
            raise TooLarge(
                f"the rows unpack to more than {self.max_bytes / (1 << 20):g} MB;"
                " send smaller batches"
            )

    def check_columns(self, columns: int) -> None:
        """Raise TooLarge when there are more than `max_columns` columns."""
        if columns > self.max_columns:
            raise TooLarge(
                f"the table has {columns:,} columns; at most {self.max_columns:,}"
            )


UNLIMITED = BodyLimits(1 << 62, 1 << 62, 1 << 62)


def check_names(names: Sequence[str]) -> None:
    """Raise PayloadError when two columns have one name."""
    repeated = next((name for name, n in Counter(names).items() if n > 1), None)
    if repeated is not None:
        raise PayloadError(
            f"the column {repeated[:40]!r} is there more than once; "
            "give each column a name of its own"
        )


class Source(Protocol):
    """sources/NAME.py: a format of rows; the same rows give the same table."""

    MEDIA_TYPES: tuple[str, ...]  # Content-Types of bodies
    SUFFIXES: tuple[str, ...]  # endings of files, in lower case

    def read_bytes(self, body: bytes, limits: BodyLimits) -> Chunk:
        """Return all rows of a request body.

        Raises TooLarge, before rows are unpacked or converted, when they are over a
        limit, and PayloadError when nothing of it can be read.
        """

    def read_file(self, path: Path, rows: int) -> Iterator[Chunk]:
        """The rows of a file in chunks of about `rows`.

        Raises PayloadError when nothing of it can be read.
        """

    def read_without(
        self, path: Path, rows: int, columns: Collection[str], coded: bool
    ) -> Iterator[Chunk]:
        """`read_file` without some columns; with `coded`, texts are dictionaries.

        Default: `read_file`.
        """


class DerivedColumn(Protocol):
    """A column computed from other columns of the same row."""

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields of a row that it is computed from."""

    def values(self, batch: pa.RecordBatch) -> pa.Array:
        """Its value in each row, from that row alone."""


@dataclass(frozen=True)
class ProfileColumn:
    """A column to profile: key, field or computation, layout and bucket width."""

    column: str
    source: str | DerivedColumn
    layout: Layout
    bucket: str = "hour"  # or "minute"
    # False where rows may be subtracted later: min and max cannot be
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


_KEYS = [
    ("version", pa.string()),
    ("column", pa.string()),
    ("bucket", pa.timestamp("us")),
    ("layout", pa.string()),
]
BINS = pa.schema([*_KEYS, ("bin", pa.int32()), ("n", pa.int64())])
MOMENTS = pa.schema(
    [
        *_KEYS,
        *((name, pa.int64()) for name in ("rows", "missing", "invalid")),
        *((name, pa.float64()) for name in ("sum", "sum_sq", "min", "max")),
    ]
)
NEW_VALUES = pa.schema(
    [
        ("version", pa.string()),
        ("column", pa.string()),
        ("value", pa.string()),
        ("n", pa.int64()),
        ("first_seen", pa.timestamp("us")),
    ]
)


@dataclass(frozen=True)
class ProfileTables:
    """Profiles as Arrow tables with the schemas BINS, MOMENTS and NEW_VALUES."""

    bins: pa.Table
    moments: pa.Table
    new_values: pa.Table

    @staticmethod
    def join(profiled: Sequence["ProfileTables"]) -> "ProfileTables":
        """The profiles of different columns as one."""
        parts = zip(*((p.bins, p.moments, p.new_values) for p in profiled), strict=True)
        return ProfileTables(*(pa.concat_tables(tables) for tables in parts))


class Engine(Protocol):
    """engines/NAME.py: profiles from rows; bins equal those of `Layout.index`."""

    def profile(
        self,
        rows: pa.Table | Iterable[pa.RecordBatch],
        columns: Sequence[ProfileColumn],
    ) -> ProfileTables:
        """Bins, moments and new values of `columns`, by version and time bucket.

        `rows` has `ts` (timestamp[us], UTC), `version` (string) and the field of each
        column: numbers for ordered layouts, texts or dictionaries of texts for
        categories. New values: at most MAX_NEW_VALUES, the most frequent.
        """


@dataclass(frozen=True)
class Request:
    """An HTTP request that a channel wants sent; the channel itself sends nothing."""

    url: str
    body: bytes
    headers: dict[str, str]


class Channel(Protocol):
    """alerting/channels/NAME.py: a notification channel, from an alert's message to a request."""

    NAME: str  # `type` in [[channels]]: the name of its file
    # the keys of [[channels]] with this type: a subclass of ChannelConfig
    # (monitor/config/channel.py), which also checks its secrets
    CONFIG: type[Any]

    def render(
        self, config: Any, body: Mapping[str, Any], message_id: str, at: datetime
    ) -> Request:
        """The request for one state change; `config` is an object of CONFIG.

        `message_id` is the same on every attempt.
        """


class NotUnderstood(ValueError):
    """A body that is not in the format; its text is the reason.

    Such a request is passed on and counted like any other.
    """


class Target(NamedTuple):
    """The model that a request is for; the version may be empty."""

    model: str
    version: str = ""


class Row(NamedTuple):
    """One prediction in a request and its response."""

    features: dict[str, Any]
    prediction: Any


@dataclass(frozen=True)
class FieldChoice:
    """Choices that a format leaves open: the output, and the fields of plain JSON."""

    output: str | None = None
    features: str = "features"
    prediction: str = "prediction"


class ServingProtocol(Protocol):
    """protocols/NAME.py: a format of model servers, from bytes to rows; no input or output."""

    NAME: str  # the name of its file, as --protocol has it
    # the paths of its requests name the model; if not, --model must (default: True)
    NAMES_MODEL: bool

    def target(self, path: str) -> Target | None:
        """The model of a path that asks for predictions; None for all other paths."""

    def understands(self, body: Mapping[str, Any]) -> bool:
        """True if the JSON object of a request is surely in this format. Default: False."""

    def read(
        self, request: bytes, response: bytes | None, choice: FieldChoice
    ) -> list[Row]:
        """The rows in a request and its response, None if the request failed.

        Raises NotUnderstood.
        """
