"""The base of all sections of driftdeck.toml, and durations."""

import re
from datetime import timedelta
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict

_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 604800}
_DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(s|m|min|h|d|w)\s*")


class Section(BaseModel):
    """A section of the configuration: unknown keys are errors, and it is immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def duration(value: Any) -> timedelta:
    """A duration: "90s", "15m", "24h", "7d", "2w" or a timedelta. Raises ValueError.

    >>> duration("36h").total_seconds()
    129600.0
    """
    if isinstance(value, timedelta):
        return value
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if not match:
        raise ValueError(
            f"{value!r} is not a duration; write it like 90s, 15m, 24h, 7d"
        )
    return timedelta(seconds=float(match[1]) * _UNITS[match[2]])


Duration = Annotated[timedelta, BeforeValidator(duration)]
