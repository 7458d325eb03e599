"""What is kept of each column: all of it, nothing, a keyed hash, or the bucket it falls in.

Applied before anything is written.
"""

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
MAX_REMEMBERED = 4096  # values of a column whose hash or bucket is kept in memory
HASHED = re.compile(r"h:[0-9a-f]{16}")


class ColumnPolicy(Section):
    """[models.NAME.columns.COLUMN]: `keep`, `drop`, `hash` (keyed, the same value gives the same text) or `bucket`."""

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
    """The policies of one model's columns: features by name, tags as `tags.NAME`, and `error`. `undeclared` is for features
    and tags without an entry. `key` is the secret of hashes."""

    columns: Mapping[str, ColumnPolicy] = field(default_factory=dict)
    undeclared: Literal["keep", "drop"] = "keep"
    key: bytes = b""

    @property
    def active(self) -> bool:
        """Whether anything is changed at all."""
        return self.undeclared == "drop" or any(
            c.keep != "keep" for c in self.columns.values()
        )

    @property
    def hidden(self) -> list[str]:
        """Features of which no value may be shown."""
        return [name for name, column in self.columns.items() if column.keep != "keep"]

    def event(self, raw: dict[str, Any]) -> dict[str, Any]:
        """A decoded event (or label) as it may be kept; what has another form than an event's comes back as it is."""
        kept = dict(raw)
        for part, prefix in (("features", ""), ("tags", "tags.")):
            if isinstance(raw.get(part), dict):
                found = {
                    k: self._change(f"{prefix}{k}", v)
                    for k, v in raw[part].items()
                    if not self._drops(f"{prefix}{k}")
                }
                kept[part] = found
        if "error" in kept and "error" in self.columns:
            kept["error"] = (
                None if self._drops("error") else self._change("error", kept["error"])
            )
        return kept

    def lines(self, body: bytes) -> bytes | None:
        """Lines of JSON as they may be kept, each value of the same meaning as in `event`; None when any may be no event.

        What a column may keep is copied as it came; what it may not is left out, or
        replaced by its text.
        """
        try:
            events = _LINES.decode_lines(body)
            for event in events:
                self._keep(event)
        except (ValueError, RecursionError):
            return None
        return _ENCODER.encode_lines(events)

    def _keep(self, event: "_Line") -> None:
        for parts, prefix in ((event.features, ""), (event.tags, "tags.")):
            if parts:
                if self.undeclared == "drop":
                    for name in [n for n in parts if self._drops(f"{prefix}{n}")]:
                        del parts[name]
                for name, change in self._changes[prefix].items():
                    if name in parts:
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
        """What is done to values, as JSON, of features (""), tags and the error, by name; None where they are dropped."""
        found: dict[str, dict[str, _Change | None]] = {"": {}, "tags.": {}, "error": {}}
        for name, column in self.columns.items():
            if column.keep != "keep":
                change = None if column.keep == "drop" else self._as_json(name)
                if name.startswith("tags."):
                    found["tags."][name.removeprefix("tags.")] = change
                elif name == "error":
                    found["error"][name] = change
                # a feature may be called like a tag or the error
                found[""][name] = change
        return found

    def _as_json(self, name: str) -> "_Change":
        def change(value: bytes) -> msgspec.Raw:
            return msgspec.Raw(
                _ENCODER.encode(self._change(name, _VALUE.decode(value)))
            )

        # numbers seldom come again, what is hashed does
        return (
            change
            if self.columns[name].keep == "bucket"
            else lru_cache(maxsize=MAX_REMEMBERED)(change)
        )

    def table(self, rows: pa.Table) -> pa.Table:
        """A table with one column a feature (a leading "features." does not count), as it may be kept."""
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
                rows = rows.set_column(
                    rows.column_names.index(name), name, pa.array(changed, pa.string())
                )
        return rows

    def entity(self, column: str, value: str) -> str:
        """A value of a column as it is stored."""
        kept = self._change(column, value)
        return kept if isinstance(kept, str) else value

    def _drops(self, name: str) -> bool:
        column = self.columns.get(name)
        return (
            self.undeclared == "drop" and name != "error"
            if column is None
            else column.keep == "drop"
        )

    def _change(self, name: str, value: Any) -> Any:
        column = self.columns.get(name, KEEP)
        if value is None or column.keep == "keep":
            return value
        if column.keep == "hash":
            return self._hash(value)
        return _bucket(value, column.edges)

    def _hash(self, value: Any) -> str:
        text = label_text(value) or str(value)
        # it has been here before: sent again from the quarantine
        if HASHED.fullmatch(text):
            return text
        return f"h:{hmac.digest(self.key, text.encode('utf-8', 'replace'), 'sha256').hex()[:16]}"


class _Line(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """An event as it came: what no policy changes stays as its bytes."""

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
    """The bucket of a number: "< 18", "18 – 30" (the lower bound belongs to it), "≥ 50"; "invalid" for anything else."""
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
