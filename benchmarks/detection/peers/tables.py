"""Results of the tools as two tables in Markdown."""

from collections.abc import Iterable, Mapping, Sequence
from statistics import median

from benchmarks.detection.peers.pages import delay, pages, runs
from benchmarks.detection.runs import QUARTER

NEVER = 9999
TITLES = {
    "evidently any": "Evidently, any column",
    "evidently half": "Evidently, half of the columns (its preset)",
    "evidently psi": "Evidently, PSI, any column",
    "nannyml drift": "NannyML, any column",
    "nannyml drift or missing": "NannyML, any column or missing rate",
    "alibi": "alibi-detect TabularDrift",
    "scipy": "scipy KS and chi-squared, p < .05",
    "scipy bonferroni": "scipy, Bonferroni",
}
Key = tuple[str, int]  # a rule and the hours of its windows


def quiet_table(
    ours: Mapping[str, Sequence[int]],
    found: Mapping[str, Mapping[Key, list[list[float]]]],
) -> list[str]:
    """False pages in 90 days at the tools' own limits: pages / runs of alarms / share of windows in alarm, by world."""
    worlds = list(ours)
    lines = [
        f"| tool | windows | {' | '.join(worlds)} |",
        f"|---|---|{'---|' * len(worlds)}",
    ]
    cells = [f"{sum(ours[w]) / len(ours[w]):.2f} ({len(ours[w])})" for w in worlds]
    lines.append(f"| driftdeck | hours | {' | '.join(cells)} |")
    for key in _keys(found.values()):
        cells = [_quiet_cell(found[w].get(key, []), key[1]) for w in worlds]
        lines.append(
            f"| {TITLES[key[0]]} | {'days' if key[1] == 24 else 'hours'} | {' | '.join(cells)} |"
        )
    return lines


def _quiet_cell(series: Sequence[Sequence[float]], width: int) -> str:
    if not series:
        return ""
    watched = sum(len(s) for s in series) * width / QUARTER
    count = sum(len(pages(s, 1, width)) for s in series) / watched
    in_alarm = sum(score > 1 for s in series for score in s) / sum(
        len(s) for s in series
    )
    return f"{count:.1f} / {sum(runs(s, 1) for s in series) / watched:.1f} / {in_alarm:.0%} ({len(series)})"


# the hour of the change, the first window, the scores
Watched = tuple[int, int, list[float]]


def delay_head(limits: Mapping[Key, float]) -> list[str]:
    """The head of the table of delays, and by how much each limit was raised."""
    keys = _keys([limits])
    names = [
        f"{TITLES[rule]}, {'days' if width == 24 else 'hours'}" for rule, width in keys
    ]
    lines = [
        f"| change | driftdeck | {' | '.join(names)} |",
        f"|---|---|{'---|' * len(keys)}",
    ]
    return [
        *lines,
        f"| limit, times its own |  | {' | '.join(f'{limits[k]:.2f}' for k in keys)} |",
    ]


def delay_row(
    change: str,
    ours: Sequence[int | None],
    found: Mapping[Key, list[Watched]],
    limits: Mapping[Key, float],
) -> str:
    """Hours from the change to the page, the median and how many were found, each tool at its raised limit."""
    cells = []
    for key in _keys([limits]):
        watched = found.get(key, [])
        waited = [
            delay(scores, first, limits[key], key[1], at)
            for at, first, scores in watched
        ]
        cells.append(_delay_cell(waited))
    return f"| {change} | {_delay_cell(ours)} | {' | '.join(cells)} |"


def _delay_cell(delays: Sequence[int | None]) -> str:
    if not delays:
        return ""
    middle = median(NEVER if d is None else d for d in delays)
    hits = sum(d is not None for d in delays)
    return f"{'–' if middle >= NEVER / 2 else f'{middle:g}'} ({hits} of {len(delays)})"


def _keys(tables: Iterable[Mapping[Key, object]]) -> list[Key]:
    order = list(TITLES)
    return sorted(
        {key for table in tables for key in table},
        key=lambda k: (-k[1], order.index(k[0])),
    )
