"""How many rows a second each key may send: a token bucket for each."""

import math
import time
from collections.abc import Callable

from monitor.access import Caller
from monitor.config.limits import Limits
from monitor.errors import TooMany


class Allowance:
    """One bucket of rows for each caller, filled at `rows_per_second` up to `burst_rows`; none when there is no limit.

    A request is let in while the bucket holds anything and is charged once its rows are
    counted, so a bucket may go below zero: nobody has to guess how many rows a body
    holds, and over time the rate is kept.
    """

    def __init__(
        self, limits: Limits, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.rate, self.burst, self.clock = (
            limits.rows_per_second,
            limits.burst_rows,
            clock,
        )
        self._left: dict[str, tuple[float, float]] = {}  # caller -> rows, at

    def check(self, caller: Caller) -> None:
        """Raises TooMany, saying when to come again, when the caller has used up its rows."""
        if self.rate is None:
            return
        left = self._now(caller)
        if left <= 0:
            wait = max(1, math.ceil((1 - left) / self.rate))
            raise TooMany(
                f"more than {self.rate} rows a second came with this key; send again in {wait} s",
                wait,
            )

    def charge(self, caller: Caller, rows: int) -> None:
        """Take rows from the caller's bucket."""
        if self.rate is not None:
            self._left[caller.id] = (self._now(caller) - rows, self.clock())

    def _now(self, caller: Caller) -> float:
        rows, at = self._left.get(caller.id, (float(self.burst), self.clock()))
        return min(self.burst, rows + (self.clock() - at) * (self.rate or 0))
