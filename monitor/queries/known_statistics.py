"""Statistics that rules can name and findings can have, and those that a page shows."""

from typing import Any

from monitor.config.config import Config
from monitor.contracts import Statistic
from monitor.finding import DETECTOR_STATISTICS
from monitor.layout import Layout
from monitor.plugins import statistics

# of the drift page and of the overview
DEFAULT_STATISTIC = "psi"


def statistic_rows() -> list[dict[str, Any]]:
    """Return one row for each statistic plug-in, then one for each of the detector.

    The detector's own statistics have no formula, and no rule can name them.
    """
    rows = [
        {
            "statistic": name,
            "title": statistic.TITLE,
            "group": statistic.GROUP,
            "unit": statistic.UNIT,
            "distance": statistic.DISTANCE,
            "compare": statistic.COMPARE,
            "minimum": statistic.MINIMUM,
            "kinds": sorted(statistic.KINDS),
            "columns": statistic.COLUMNS,
            "formula": statistic.FORMULA,
            "source": statistic.SOURCE,
            "detector": False,
        }
        for name, statistic in statistics().items()
    ]
    for name, own in DETECTOR_STATISTICS.items():
        rows.append(
            {
                "statistic": name,
                "title": own.title,
                "group": own.group,
                "unit": None,
                "distance": False,
                "compare": "value",
                "minimum": None,
                "kinds": [],
                "columns": (),
                "formula": None,
                "source": None,
                "detector": True,
            }
        )
    return rows


def drift_statistics() -> dict[str, Statistic]:
    """Return the drift statistics by name, the default first.

    They are the distances of two distributions, which the drift page offers.
    """
    names = sorted(statistics(), key=lambda name: (name != DEFAULT_STATISTIC, name))
    return {name: statistics()[name] for name in names if statistics()[name].DISTANCE}


def column_statistics(config: Config, model: str) -> list[str]:
    """Return the statistics that a column's page shows, drift statistics first.

    They are those that ask for it, and those of a rule of the model.
    """
    ruled = {rule.statistic for rule in config.all_rules if rule.model in ("*", model)}
    distances = drift_statistics()
    others = [name for name in statistics() if name not in distances]
    names = []
    for name in [*distances, *others]:
        statistic = statistics()[name]
        # one with COLUMNS is of the columns it names, such as the request error rate
        if (statistic.ON_COLUMN_PAGE or name in ruled) and not statistic.COLUMNS:
            names.append(name)
    return names


def can_measure(statistic: Statistic, layout: Layout) -> bool:
    """True if a statistic is defined on profiles of this bin layout."""
    return layout.kind in statistic.KINDS and statistic.fits(layout)


def is_distance(statistic: str) -> bool:
    """True if a statistic is a distance of two distributions.

    False for the detector's own statistics.
    """
    plugin = statistics().get(statistic)
    return plugin is not None and plugin.DISTANCE
