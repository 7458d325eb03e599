"""Lanes: what the detector watches of a model side by side, each with its share of the one budget of false pages. Pure."""

from collections.abc import Mapping
from dataclasses import replace

from monitor.detector.lanes.distribution_lane import DistributionLane
from monitor.detector.lanes.lane import Lane
from monitor.detector.lanes.rate_lane import UNSEEN, RateLane
from monitor.detector.lanes.segment_lane import SegmentLane
from monitor.detector.lanes.traffic_lane import TrafficLane

INPUTS = DistributionLane("inputs", 0.72, False)
UNSEEN_VALUES = RateLane(UNSEEN, 0.04, False, "unseen")
LATENCY = DistributionLane("latency", 0.06, True, ("latency_ms",))
ERRORS = RateLane("errors", 0.06, True, "error rate")
TRAFFIC = TrafficLane("traffic", 0.04, True)
WRONG = RateLane("quality", 0.08, False, "wrong share")
ERROR_SIZE = DistributionLane("quality", 0.08, False, ("absolute_error",))
# the shares of all, with one of quality, are 1
LANES: tuple[Lane, ...] = (INPUTS, UNSEEN_VALUES, LATENCY, ERRORS, TRAFFIC)
SEGMENTS_SHARE = 0.12  # of the inputs' share, where segments are watched apart
SEGMENTS = SegmentLane("segments", SEGMENTS_SHARE, True)
WITH_SEGMENTS: tuple[Lane, ...] = (
    replace(INPUTS, share=INPUTS.share - SEGMENTS_SHARE),
    SEGMENTS,
    *LANES[1:],
)
QUALITY: Mapping[str, Lane] = {"wrong": WRONG, "absolute_error": ERROR_SIZE}
