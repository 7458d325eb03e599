"""Distances that use the positions of the bins: positions, and a norm at them."""

import math
from collections.abc import Callable

import numpy as np

from monitor.finding import Measurement
from monitor.layout import Layout
from monitor.profile import Profile, check_same_layout
from monitor.statistics._bins import Distance, norm, nothing


def positions(layout: Layout) -> np.ndarray:
    """The position of each bin's mass: its middle; for the open bins at the ends, their edge.

    >>> positions(Layout("numeric", (1.0, 2.0, 4.0))).tolist()
    [1.0, 1.5, 3.0, 4.0]
    """
    edges = layout.upper_bounds()[:-1]
    return np.concatenate([edges[:1], (edges[:-1] + edges[1:]) / 2, edges[-1:]])


def measured(
    reference: Profile | None,
    current: Profile,
    norm_at: Callable[[np.ndarray], Distance],
    power: int = 1,
) -> Measurement:
    """A norm of the difference of shares, to this power, with its interval by `_bins.norm`.

    `norm_at` makes the norm from the places of the bins in standard deviations of the
    reference. None when the reference has no spread.
    """
    if reference is None or reference.n == 0 or current.n == 0:
        return nothing(reference, current)
    check_same_layout(reference, current)
    reference, current = reference.inner(), current.inner()
    places, variance = positions(reference.layout), reference.variance
    if not variance or places[-1] <= places[0]:
        return nothing(reference, current)
    distance = norm_at(places / math.sqrt(variance))
    counts = reference.counts.astype(float), current.counts.astype(float)
    raw, value, low, high = (x**power for x in norm(*counts, distance))
    return Measurement(value, low, high, current.n, reference.n, raw)
