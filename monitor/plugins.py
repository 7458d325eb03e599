"""The folder listing is the registry: every file of statistics/, sources/, engines/, channels/ or protocols/ is one entry."""

import importlib
import pkgutil
from functools import cache
from types import ModuleType
from typing import Any


@cache
def load(folder: str) -> dict[str, Any]:
    """The modules of one plug-in folder by file name, e.g. load("statistics")["psi"]."""
    package: ModuleType = importlib.import_module(f"monitor.{folder}")
    names = sorted(info.name for info in pkgutil.iter_modules(package.__path__) if not info.name.startswith("_"))
    return {name: importlib.import_module(f"monitor.{folder}.{name}") for name in names}
