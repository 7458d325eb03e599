"""All statistics that rules can name and findings can have, with what is known of each."""

from typing import Any

from monitor.finding import DETECTOR_STATISTICS
from monitor.plugins import statistics


def statistic_rows() -> list[dict[str, Any]]:
    """One row for each statistic plug-in, then one for each statistic of the detector.

    Those of the detector have no formula, and no rule can name them.
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
