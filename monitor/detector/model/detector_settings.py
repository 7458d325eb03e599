"""Settings of a detector, and its strictness by the tails of the reference."""

from dataclasses import dataclass
from typing import Literal

from monitor.detector.model.evidence import UNIFORM
from monitor.detector.model.filter import JUMP

TailClass = Literal["light", "heavy"]


@dataclass(frozen=True)
class Strictness:
    """Limits on the evidence of one hour.

    `bound` and `joint_bound` are the highest normal scores that one hour counts with,
    for a stream and for the joint streams. `persistence` is the share of its size that a
    large effect must keep for one more hour before it opens an alert; with 0 it opens
    one at once.
    """

    bound: float
    joint_bound: float
    persistence: float


# light tails need three agreeing hours for an alert, heavy ones five
STRICTNESS: dict[TailClass, Strictness] = {
    "light": Strictness(4.0, 3.0, 0.0),
    "heavy": Strictness(2.5, 2.0, 0.9),
}


@dataclass(frozen=True)
class Settings:
    """Settings of a detector. Tolerances are in reference standard deviations.

    - `tolerance`: a shift of one stream up to it is ignored; `joint_tolerance`: the same
      for the norm of the shift of all streams together.
    - `level`: hours between two false alarms. With 2160, one is expected at most every
      90 days under the fitted null.
    - `cooldown`: hours after an alert in which further pages are marked as repeated.
    - `width`: hours in a window: 1, or more where traffic is thin.
    - `large`: an effect from this size on may open an alert at once; `large_missing`: the
      same for missing values, as a share. With heavy tails it must persist for one more
      hour unless it is `huge` or `huge_missing`.
    - `tails`: the tail class; None: the reference decides.
    - `slow_jump`: an innovation beyond it is absorbed as a shock in streams whose level
      varies slowly. There a decaying shock looks like a small shift for half a day.
    - `pooled`: the autocorrelation of a stream is estimated together with the other
      streams of its contrast.
    - `mixture`: the weights of LAMBDAS, the sizes of shift; they sum to 1.
    - `weekdays`: a day that follows the pattern of another weekday, as holidays do, is
      compared with that weekday and opens no alert.
    """

    tolerance: float = 0.05
    joint_tolerance: float = 0.06
    level: float = 2160.0
    cooldown: int = 24
    width: int = 1
    large: float = 0.4
    large_missing: float = 0.1
    huge: float = 1.0
    huge_missing: float = 0.2
    tails: TailClass | None = None
    slow_jump: float = JUMP
    pooled: bool = False
    mixture: tuple[float, ...] = UNIFORM
    weekdays: bool = False
