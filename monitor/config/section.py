"""What every section of driftdeck.toml has in common, and durations."""

import re
from datetime import timedelta
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict

_UNITS = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400, "w": 604800}


class Section(BaseModel):
    """A section of the configuration: no unknown keys, and it does not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def duration(value: Any) -> timedelta:
    """ "90s", "15m", "24h", "7d" or "2w" (or a timedelta) as a timedelta. Raises ValueError.

    >>> duration("36h").total_seconds()
    129600.0
    """
    if isinstance(value, timedelta):
        return value
    found = (
        re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(s|m|min|h|d|w)\s*", value)
        if isinstance(value, str)
        else None
    )
    if not found:
        raise ValueError(
            f"{value!r} is not a duration; write it like 90s, 15m, 24h, 7d"
        )
    return timedelta(seconds=float(found[1]) * _UNITS[found[2]])


Duration = Annotated[timedelta, BeforeValidator(duration)]
