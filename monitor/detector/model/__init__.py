"""Statistical model of the detector: evidence of change in the hourly counts of a model.

One false-alarm budget covers all columns.

    fitted = fit(features, reference_hours)
    state = initial(fitted)
    state, signal = step(fitted, state, hour)  # signal.page: None, or a detection

Counts become contrasts (`streams`). Their season and the slow variation of their level
are removed (`season`, `filter`). The remaining surprise is added up as evidence
(`evidence`), for each stream and along a learned direction of all streams (`joint`). A
page is a detection that opens an alert. Without drift, the expected time to a page is at
least `Settings.level` hours under the fitted null. Season, autocorrelation and tails are
estimates, so the rate in use is measured, not proved. Source: Shin, Ramdas and Rinaldo,
E-detectors: a nonparametric framework for sequential change detection (2024).
"""

from monitor.detector.model.detector_settings import Settings
from monitor.detector.model.fit import Fitted, fit
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
