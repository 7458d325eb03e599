"""The page detector: evidence of change in the hourly counts of a model, with one budget of false pages for all of it.

    fitted = fit(features, reference_hours)
    state = initial(fitted)
    state, signal = step(fitted, state, hour)      # signal.page is None, or a reason to call someone

Counts become contrasts (streams), lose their season, are filtered for their usual
wandering (filter), and what surprises is added up as evidence (evidence), for each
stream and along a learned direction of all (joint). Expected hours to a page without
drift are at least `Settings.level` under the fitted null; season, wandering and tails
are estimates, so the rate in use is measured, not proved. Source: Shin, Ramdas and
Rinaldo, E-detectors: a nonparametric framework for sequential change detection (2024).
"""

from monitor.detector.model.fit import Fitted, Settings, fit
from monitor.detector.model.serialization import from_plain, to_plain
from monitor.detector.model.step import Page, Signal, State, initial, step
from monitor.detector.model.streams import DetectorColumn, Hour, Stream

__all__ = [
    "DetectorColumn",
    "Fitted",
    "Hour",
    "Page",
    "Settings",
    "Signal",
    "State",
    "Stream",
    "fit",
    "from_plain",
    "initial",
    "step",
    "to_plain",
]
