"""Limit on the rows a second that each key may send: one token bucket a caller."""

import math
import time
from collections.abc import Callable

from monitor.access import Caller
from monitor.config.limits import Limits
from monitor.errors import TooMany


class RateLimiter:
    """One bucket of rows for each caller, filled at `rows_per_second` up to `burst_rows`.

    A request passes while the bucket holds anything. It is charged once its rows are
    counted, because the rows of a body are unknown before; so a bucket may go below
    zero, and over time the rate is kept. Without `rows_per_second` nothing is limited.
    """

    def __init__(
        self, limits: Limits, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.rate = limits.rows_per_second
        self.burst = limits.burst_rows
        self.clock = clock
        # caller id -> (rows in the bucket, time of that count)
        self._buckets: dict[str, tuple[float, float]] = {}

    def check(self, caller: Caller) -> None:
        """Raise TooMany, with the seconds to wait, when the caller's bucket is empty."""
        if self.rate is None:
            return
        rows = self._rows_of(caller)
        if rows <= 0:
            wait = max(1, math.ceil((1 - rows) / self.rate))
            raise TooMany(
                f"this key sent more than {self.rate} rows a second "
                f"(limits.rows_per_second); send again in {wait} s",
                wait,
            )

    def charge(self, caller: Caller, rows: int) -> None:
        """Subtract rows from the caller's bucket."""
        if self.rate is not None:
            self._buckets[caller.id] = (self._rows_of(caller) - rows, self.clock())

    def _rows_of(self, caller: Caller) -> float:
        full = (float(self.burst), self.clock())
        rows, counted_at = self._buckets.get(caller.id, full)
        return min(self.burst, rows + (self.clock() - counted_at) * (self.rate or 0))
