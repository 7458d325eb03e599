"""Column policies: keep, drop, hash or bucket the values of a column before storage."""

import hmac
import math
import re
from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import Annotated, Any, Literal

import msgspec
import pyarrow as pa
from pydantic import Field, model_validator

from monitor.config.section import Section
from monitor.event import label_text

OWN = (
    "event_id",
    "model",
    "version",
    "ts",
    "prediction",
    "latency_ms",
    "status",
    "label",
    "label_ts",
)
MAX_CACHED_VALUES = 4096  # of a column, with their hash
HASHED = re.compile(r"h:[0-9a-f]{16}")


class ColumnPolicy(Section):
    """[models.NAME.columns.COLUMN]: keep, drop, hash or bucket a column.

    A hash is keyed; the same value gives the same text.
    """

    keep: Literal["keep", "drop", "hash", "bucket"]
    edges: Annotated[
        tuple[float, ...], Field(description="bounds of the buckets, ascending")
    ] = ()

    @model_validator(mode="after")
    def _has_edges(self) -> "ColumnPolicy":
        ordered = all(a < b for a, b in pairwise(self.edges))
        if (self.keep == "bucket") != bool(self.edges) or not ordered:
            raise ValueError(
                "a bucket needs `edges`, ascending, e.g. edges = [18, 30, 50]; the others take none"
            )
        return self


@dataclass(frozen=True)
class Policy:
    """The column policies of one model.

    `columns`: of features by name, of tags as `tags.NAME`, and of `error`.
    `undeclared`: of features and tags without an entry. `key`: the secret of hashes.
    """

    columns: Mapping[str, ColumnPolicy] = field(default_factory=dict)
    undeclared: Literal["keep", "drop"] = "keep"
    key: bytes = b""

    @property
    def active(self) -> bool:
        """True if any value can be changed or dropped."""
        return self.undeclared == "drop" or any(
            c.keep != "keep" for c in self.columns.values()
        )

    @property
    def hidden(self) -> list[str]:
        """Features whose values may not be shown."""
        return [name for name, column in self.columns.items() if column.keep != "keep"]

    def event(self, raw: dict[str, Any]) -> dict[str, Any]:
        """A decoded event or label with the policies applied.

        Parts that have another form than an event's stay as they are.
        """
        stored = dict(raw)
        for part, prefix in (("features", ""), ("tags", "tags.")):
            if isinstance(raw.get(part), dict):
                stored[part] = {
                    name: self._change(f"{prefix}{name}", value)
                    for name, value in raw[part].items()
                    if not self._drops(f"{prefix}{name}")
                }
        if "error" in stored and "error" in self.columns:
            stored["error"] = None
            if not self._drops("error"):
                stored["error"] = self._change("error", raw["error"])
        return stored

    def lines(self, body: bytes) -> bytes | None:
        """Lines of JSON with the policies applied, as in `event`.

        Values that stay are copied byte by byte. None when a line may be no event.
        """
        try:
            events = _LINES.decode_lines(body)
            for event in events:
                self._apply(event)
        except (ValueError, RecursionError):
            return None
        return _ENCODER.encode_lines(events)

    def _apply(self, event: "_Line") -> None:
        for parts, prefix in ((event.features, ""), (event.tags, "tags.")):
            if not parts:
                continue
            if self.undeclared == "drop":
                for name in [n for n in parts if self._drops(f"{prefix}{n}")]:
                    del parts[name]
            for name, change in self._changes[prefix].items():
                if name not in parts:
                    continue
                if change is None:
                    del parts[name]
                else:
                    parts[name] = change(bytes(parts[name]))
        if event.error is not msgspec.UNSET and "error" in self._changes["error"]:
            change = self._changes["error"]["error"]
            event.error = (
                msgspec.UNSET if change is None else change(bytes(event.error))
            )

    @cached_property
    def _changes(self) -> "dict[str, dict[str, _Change | None]]":
        """The changes of JSON values of features (""), tags and the error, by name.

        None where they are dropped.
        """
        changes: dict[str, dict[str, _Change | None]] = {
            "": {},
            "tags.": {},
            "error": {},
        }
        for name, column in self.columns.items():
            if column.keep == "keep":
                continue
            change = None if column.keep == "drop" else self._as_json(name)
            if name.startswith("tags."):
                changes["tags."][name.removeprefix("tags.")] = change
            elif name == "error":
                changes["error"][name] = change
            # a feature may have the name of a tag or the error
            changes[""][name] = change
        return changes

    def _as_json(self, name: str) -> "_Change":
        def change(value: bytes) -> msgspec.Raw:
            changed = self._change(name, _VALUE.decode(value))
            return msgspec.Raw(_ENCODER.encode(changed))

        # numbers seldom repeat, hashed values do
        if self.columns[name].keep == "bucket":
            return change
        return lru_cache(maxsize=MAX_CACHED_VALUES)(change)

    def table(self, rows: pa.Table) -> pa.Table:
        """A table with a column for each feature, with the policies applied.

        A leading "features." does not count.
        """
        for name in rows.column_names:
            feature = name.removeprefix("features.")
            if name in OWN or (feature == "error" and "error" not in self.columns):
                continue
            if self._drops(feature):
                rows = rows.drop_columns([name])
            elif self.columns.get(feature, KEEP).keep != "keep":
                changed = [
                    self._change(feature, value) for value in rows[name].to_pylist()
                ]
                place = rows.column_names.index(name)
                rows = rows.set_column(place, name, pa.array(changed, pa.string()))
        return rows

    def entity(self, column: str, value: str) -> str:
        """A value of a column as it is stored."""
        stored = self._change(column, value)
        return stored if isinstance(stored, str) else value

    def _drops(self, name: str) -> bool:
        column = self.columns.get(name)
        if column is None:
            return self.undeclared == "drop" and name != "error"
        return column.keep == "drop"

    def _change(self, name: str, value: Any) -> Any:
        column = self.columns.get(name, KEEP)
        if value is None or column.keep == "keep":
            return value
        if column.keep == "hash":
            return self._hash(value)
        return _bucket(value, column.edges)

    def _hash(self, value: Any) -> str:
        text = label_text(value) or str(value)
        # hashed before: sent again from the quarantine
        if HASHED.fullmatch(text):
            return text
        digest = hmac.digest(self.key, text.encode("utf-8", "replace"), "sha256")
        return f"h:{digest.hex()[:16]}"


class _Line(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """An event as received: values that no policy changes stay bytes."""

    features: dict[str, msgspec.Raw] | msgspec.UnsetType | None = msgspec.UNSET
    tags: dict[str, msgspec.Raw] | msgspec.UnsetType | None = msgspec.UNSET
    error: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    event_id: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    model: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    version: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    ts: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    prediction: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    latency_ms: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    status: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_Change = Callable[[bytes], msgspec.Raw]
_LINES, _VALUE = msgspec.json.Decoder(_Line), msgspec.json.Decoder()
_ENCODER = msgspec.json.Encoder()
KEEP = ColumnPolicy(keep="keep")
NOTHING = Policy()
PolicyOf = Callable[[str], Policy]


def _bucket(value: Any, edges: tuple[float, ...]) -> str:
    """The bucket of a number: "< 18", "18 – 30", "≥ 50"; "invalid" for anything else.

    The lower bound belongs to a bucket.
    """
    labels = bucket_labels(edges)
    if isinstance(value, str) and value in labels:
        return value
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        return "invalid"
    return "invalid" if math.isnan(number) else labels[bisect_right(edges, number)]


@lru_cache
def bucket_labels(edges: tuple[float, ...]) -> tuple[str, ...]:
    """The names of the buckets between `edges`.

    >>> bucket_labels((18, 30.5))
    ('< 18', '18 – 30.5', '≥ 30.5')
    """
    names = [f"{edge:g}" for edge in edges]
    return (
        f"< {names[0]}",
        *(f"{a} – {b}" for a, b in pairwise(names)),
        f"≥ {names[-1]}",
    )
