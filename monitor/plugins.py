"""Plug-ins by name: the files of the plug-in folders, and entry points of installed packages.

A file of a folder, or of a folder in it, is a plug-in with the file's name; files that
begin with `_` are none. An installed package brings plug-ins by entry points, e.g.
`[project.entry-points."driftdeck.statistics"]` with `mean_gap = "acme.mean_gap"`: the
value is a module, or an object in one.
"""

import importlib
import pkgutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import EntryPoint, entry_points
from typing import Any, get_args

from monitor.contracts import (
    Channel,
    Engine,
    Group,
    ServingProtocol,
    Source,
    Statistic,
)
from monitor.errors import PluginError

# attribute: its type, and the sentence that tells an author what would be right
Required = Mapping[str, tuple[type, str]]


@dataclass(frozen=True)
class _Kind:
    """A kind of plug-in: where its plug-ins are, what each needs, and defaults for the rest."""

    noun: str
    folder: str
    entry_points: str
    required: Required
    functions: tuple[str, ...]
    choices: Mapping[str, tuple[str, ...]]
    defaults: Callable[[Any], Mapping[str, Any]]


_NAME = "the name of its file or entry point"
_STATISTIC = _Kind(
    "statistic",
    "monitor.statistics",
    "driftdeck.statistics",
    {
        "NAME": (str, _NAME),
        "TITLE": (str, 'its name for people, e.g. TITLE = "drift (PSI)"'),
        "GROUP": (str, 'GROUP = "data", "service" or "quality"'),
        "UNIT": (str, 'the unit of its value, e.g. UNIT = "share", or ""'),
        "RANGE": (tuple, "its least and largest value, e.g. RANGE = (0.0, 1.0)"),
        "FORMULA": (str, "its formula as text"),
        "SOURCE": (str, "where it is published"),
        "KINDS": (frozenset, 'kinds of layout, e.g. frozenset({"numeric"})'),
        "NEEDS_REFERENCE": (bool, "True or False"),
        "MINIMUM": (int, "the rows that it needs, e.g. MINIMUM = 200"),
    },
    ("measure",),
    {
        "GROUP": get_args(Group),
        "COMPARE": ("value", "increase"),
        "INTERVAL": ("binomial", "similar", "unknown"),
    },
    lambda plugin: {
        "COLUMNS": (),
        "COMPARE": "value",
        "DISTANCE": False,
        "ON_COLUMN_PAGE": False,
        "INTERVAL": "similar",
        "COUNTS_ROWS": False,
        "CAUSE": "change",
        "fits": lambda layout: True,
        "expected": lambda reference, **options: plugin.measure(
            reference, reference, **options
        ),
        "growth": lambda n, n_reference: 0.0,
        "noise": lambda reference, current: None,
    },
)
_SOURCE = _Kind(
    "source",
    "monitor.sources",
    "driftdeck.sources",
    {
        "MEDIA_TYPES": (tuple, 'Content-Types, e.g. MEDIA_TYPES = ("text/csv",)'),
        "SUFFIXES": (tuple, 'endings of files, e.g. SUFFIXES = (".csv",)'),
    },
    ("read_bytes", "read_file"),
    {},
    lambda plugin: {
        "read_without": lambda path, rows, columns, coded: plugin.read_file(path, rows),
    },
)
_ENGINE = _Kind(
    "engine",
    "monitor.engines",
    "driftdeck.engines",
    {},
    ("profile",),
    {},
    lambda plugin: {},
)
_CHANNEL = _Kind(
    "channel",
    "monitor.alerting.channels",
    "driftdeck.channels",
    {
        "NAME": (str, _NAME),
        "CONFIG": (type, "a subclass of monitor.config.channel.ChannelConfig"),
    },
    ("render",),
    {},
    lambda plugin: {},
)
_PROTOCOL = _Kind(
    "protocol",
    "monitor.protocols",
    "driftdeck.protocols",
    {"NAME": (str, _NAME)},
    ("target", "read"),
    {},
    lambda plugin: {"NAMES_MODEL": True, "understands": lambda body: False},
)


@cache
def statistics() -> Mapping[str, Statistic]:
    """The statistics by name. Raises PluginError, like all functions here."""
    return _plugins(_STATISTIC)


@cache
def sources() -> Mapping[str, Source]:
    """The formats of rows by name."""
    return _plugins(_SOURCE)


@cache
def engines() -> Mapping[str, Engine]:
    """The profile engines by name."""
    return _plugins(_ENGINE)


@cache
def channels() -> Mapping[str, Channel]:
    """The types of notification channels by name."""
    return _plugins(_CHANNEL)


@cache
def protocols() -> Mapping[str, ServingProtocol]:
    """The formats of model servers by name."""
    return _plugins(_PROTOCOL)


REGISTRIES = (statistics, sources, engines, channels, protocols)


def load_all() -> None:
    """Load the plug-ins of every kind, so that a faulty one stops the start and not a request."""
    for registry in REGISTRIES:
        registry()


def _plugins(kind: _Kind) -> Mapping[str, Any]:
    plugins: dict[str, Any] = {}
    places: dict[str, str] = {}
    for name, place, load in (*_files(kind.folder), *_installed(kind)):
        if name in places:
            raise PluginError(
                f"there are two plug-ins for the {kind.noun} {name!r}: {places[name]} and {place}; rename or uninstall one"
            )
        places[name] = place
        plugins[name] = _checked(kind, name, place, load())
    return dict(sorted(plugins.items()))


Found = tuple[str, str, Callable[[], Any]]  # name, place, and a function that loads it


def _files(package: str) -> Iterator[Found]:
    """The plug-ins in a package's folder and the folders in it."""
    for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
        path = f"{package}.{module.name}"
        if module.ispkg:
            yield from _files(path)
        elif not module.name.startswith("_"):
            yield module.name, path, partial(importlib.import_module, path)


def _installed(kind: _Kind) -> Iterator[Found]:
    """The plug-ins that installed packages name in their entry points."""
    for entry in entry_points(group=kind.entry_points):
        package = entry.dist.name if entry.dist is not None else "an unknown package"
        place = f"{entry.value} (entry point of {package})"
        yield entry.name, place, partial(_loaded, entry, place)


def _loaded(entry: EntryPoint, place: str) -> Any:
    try:
        return entry.load()
    except Exception as error:  # the code of others may raise anything
        raise PluginError(
            f"the plug-in {entry.name!r} cannot be loaded from {place}: "
            f"{type(error).__name__}: {error}; correct or uninstall it"
        ) from error


def _checked(kind: _Kind, name: str, place: str, plugin: Any) -> Any:
    """The plug-in, with defaults for what it leaves out. Raises PluginError if it breaks its contract."""
    where = f"the {kind.noun} {name!r} of {place}"
    for attribute, (type_, right) in kind.required.items():
        value = getattr(plugin, attribute, None)
        if value is None:
            raise PluginError(f"{where} has no {attribute}; right would be: {right}")
        if not isinstance(value, type_):
            raise PluginError(
                f"{where} has {attribute} = {value!r}, which is no {type_.__name__}; right would be: {right}"
            )
    for function in kind.functions:
        if not callable(getattr(plugin, function, None)):
            raise PluginError(
                f"{where} has no function {function}; see its contract in monitor/contracts.py"
            )
    if getattr(plugin, "NAME", name) != name:
        raise PluginError(
            f"{where} has NAME = {plugin.NAME!r}; right would be: NAME = {name!r}"
        )
    for attribute, default in kind.defaults(plugin).items():
        if not hasattr(plugin, attribute):
            setattr(plugin, attribute, default)
    for attribute, choices in kind.choices.items():
        value = getattr(plugin, attribute)
        if value not in choices:
            raise PluginError(
                f"{where} has {attribute} = {value!r}; right would be one of: {', '.join(choices)}"
            )
    return plugin
