"""Fitted machines of all models in memory, read from what is stored when they are needed."""

import json
from collections import OrderedDict
from datetime import datetime

from monitor.detector.lane_run import Machine
from monitor.detector.lanes.lane import Lane
from monitor.store.detector_store import StoredFit

MAX_MACHINES = 64


class MachineCache:
    """The machines that were used last."""

    def __init__(self) -> None:
        self._machines: OrderedDict[tuple[int, str, datetime, str], Machine] = (
            OrderedDict()
        )

    def machine(self, model_id: int, lane: Lane, fit: StoredFit) -> Machine:
        """Return the machine of a stored fit."""
        key = (model_id, lane.name, fit.starts, fit.source)
        machine = self._machines.get(key)
        if machine is None:
            stored = json.loads(fit.body)
            learned = lane.machine(stored["learned"])
            machine = Machine(
                fit.starts, stored["width"], fit.source, fit.since, lane, learned
            )
            self._machines[key] = machine
            while len(self._machines) > MAX_MACHINES:
                self._machines.popitem(last=False)
        self._machines.move_to_end(key)
        return machine

    def forget(self, model_id: int) -> None:
        """Remove the machines of one model."""
        for key in [key for key in self._machines if key[0] == model_id]:
            del self._machines[key]
