"""Labels: the true outcome of an event, and its parser."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from monitor.event import Refused, TimeBounds, id_of, label_text, name_of, time_of

FIELDS = ("event_id", "model", "label", "ts")


@dataclass(frozen=True)
class Label:
    """The true outcome of an event; `ts` is the time from which it is known.

    A later label of the same event replaces it.
    """

    event_id: str
    model: str
    label: str
    ts: datetime


def parse_label(raw: Any, now: datetime, bounds: TimeBounds) -> Label:
    """Return the label in one decoded JSON value. Raises Refused with the reason."""
    if not isinstance(raw, dict):
        raise Refused("a label is a JSON object with event_id, model, label, ts")
    unknown = [k for k in raw if k not in FIELDS]
    if unknown:
        raise Refused(f"unknown key {unknown[0]!r}; known: {', '.join(FIELDS)}")
    label = label_text(raw.get("label"))
    if label is None:
        raise Refused(
            "`label` is missing"
            if raw.get("label") is None
            else "`label` must be a number, text or boolean"
        )
    ts = now if raw.get("ts") is None else time_of(raw, now, bounds)
    return Label(
        id_of(raw.get("event_id"), make=False), name_of(raw, "model"), label, ts
    )
