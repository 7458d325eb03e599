"""The folder listing is the registry: every file of statistics/, sources/, engines/, alerting/channels/ or protocols/ is one entry."""

import importlib
import pkgutil
from functools import cache
from types import ModuleType
from typing import Any

FOLDERS = {"channels": "alerting.channels"}


@cache
def load(folder: str) -> dict[str, Any]:
    """The modules of one plug-in folder by file name, e.g.

    load("statistics")["psi"].
    """
    found: dict[str, ModuleType] = {}
    _search(f"monitor.{FOLDERS.get(folder, folder)}", found)
    return dict(sorted(found.items()))


def _search(package: str, found: dict[str, ModuleType]) -> None:
    for info in pkgutil.iter_modules(importlib.import_module(package).__path__):
        if info.ispkg:
            _search(f"{package}.{info.name}", found)
        elif not info.name.startswith("_"):
            found[info.name] = importlib.import_module(f"{package}.{info.name}")
