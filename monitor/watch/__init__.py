"""The detector over a model's stored hours: what each lane sees, how it goes on from hour to hour, what it says."""

from monitor.watch.lane import Lane
from monitor.watch.lanes import LANES
from monitor.watch.runner import Watch

__all__ = ["LANES", "Lane", "Watch"]
