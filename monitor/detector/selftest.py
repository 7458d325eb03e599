"""The self-test: which known changes, put into a copy of a model's stored hours, its detector finds.

Nothing is stored.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
from scipy.special import ndtr, ndtri

from monitor.analysis.exclusive import Exclusive
from monitor.calendar import HOUR
from monitor.detector.lane_run import LaneRun, hourly
from monitor.detector.lanes.lane import LaneWindow
from monitor.detector.lanes.rate_lane import FIRST_SERVER_ERROR
from monitor.detector.lanes.signals import SEGMENTS
from monitor.detector.runner import DetectorRunner
from monitor.errors import InvalidRequest
from monitor.layout import Layout
from monitor.profile import Profile
from monitor.schema import NON_FEATURE_COLUMNS
from monitor.store import Store
from monitor.store.database import aware

QUIET = timedelta(days=7)  # of the newest judged hours, that changes are put into
BEFORE = timedelta(days=7)  # that are only remembered, as what came before
FEW_UNSEEN = 0.005  # of a reference's own rows: beside more of them, 2 % are no finding
SEED = 1
TURN = Exclusive("self-test")  # each takes a core for seconds, by hand or by itself

StoredHours = list[LaneWindow]
Change = Callable[[Profile, np.random.Generator], Profile]


@TURN
def selftest(
    store: Store,
    runner: DetectorRunner,
    name: str,
    names: Mapping[str, str],
    seed: int = SEED,
    stopping: Callable[[], bool] = lambda: False,
) -> dict[str, Any]:
    """For each known change: whether a lane pages, after how many hours, and the evidence that the hours have by themselves.

    `names` gives each column's own name. The machines are those in use; they start
    without evidence a week before the newest judged hour. The same seed gives the same
    answer. Raises InvalidRequest while the detector is off or still learns, TooMany
    while another self-test runs.
    """
    going = runner.look(store.model(name), names)
    courses = (
        {
            lane: c
            for lane, c in going.lane_runs.items()
            if c.machine is not None and lane != SEGMENTS.name
        }
        if going
        else {}
    )
    if going is None or not courses:
        raise InvalidRequest(
            f"the detector of {name!r} has learned nothing yet; it needs two weeks or a reference"
        )
    last = aware(store.spans()[name][1])
    # where no rows come any more there is nothing to change
    end = (
        min(going.cursor, last.replace(minute=0, second=0, microsecond=0))
        if last
        else going.cursor
    )
    layouts = going.layouts
    columns = list(
        dict.fromkeys(
            c for course in courses.values() for c in course.lane.columns(layouts)
        )
    )
    begin = max(going.first, end - QUIET - BEFORE)
    profiled = list(dict.fromkeys([*columns, "status"]))
    read = store.profiles(
        name,
        begin.replace(tzinfo=None),
        end.replace(tzinfo=None),
        HOUR,
        columns=profiled,
    )
    windows = hourly(begin, read, going.calendar.index, going.calendar.is_special)
    judged = min(len(windows), QUIET // HOUR)
    if judged < 24:
        raise InvalidRequest(
            f"only {judged} hours of {name!r} are stored; a self-test needs a day"
        )
    hours = [window for _, window in windows]
    quiet = {lane: _highest(course, hours, judged) for lane, course in courses.items()}
    tests = []
    for change, lane, column, inject in _changes(layouts, hours[-judged:], courses):
        if stopping():
            raise InvalidRequest(
                "the server is stopping; the self-test runs when it is back"
            )
        changed = _changed(hours, judged, column, inject, np.random.default_rng(seed))
        after, evidence, named = _first_page(courses[lane], changed, judged)
        tests.append(
            {
                "change": change,
                "column": names.get(column, column),
                "lane": lane,
                "found": after is not None,
                "hours": after,
                "evidence": evidence,
                "named": [names.get(c, c) for c in named],
            }
        )
    return {
        "model": name,
        "from": end - judged * HOUR,
        "to": end,
        "seed": seed,
        "tests": tests,
        "quiet": [
            {"lane": lane, "evidence": top, "pages": pages}
            for lane, (top, pages) in quiet.items()
        ],
    }


def moved(profile: Profile, size: float, rng: np.random.Generator) -> Profile:
    """The profile as if every value were higher by `size` sd of its own normal scores: counts move to bins above.

    The cumulative share F at each bound becomes that of a normal score lower by `size`;
    the counts are drawn with these shares.
    """
    n = profile.n
    if n == 0:
        return profile
    below = np.cumsum(profile.counts) / n
    shares = np.diff(np.concatenate([[0.0], ndtr(ndtri(below) - size)]))
    return replace(profile, counts=_drawn(n, shares, rng))


def exchanged(profile: Profile, share: float, rng: np.random.Generator) -> Profile:
    """A share of all values goes from the most frequent category to the second."""
    counts = profile.counts.copy()
    first, second = np.argsort(-counts[:-1], kind="stable")[:2]
    exchanged_rows = min(int(rng.binomial(profile.n, share)), int(counts[first]))
    counts[first] -= exchanged_rows
    counts[second] += exchanged_rows
    return replace(profile, counts=counts)


def lost(profile: Profile, share: float, rng: np.random.Generator) -> Profile:
    """A share of the values is missing."""
    remaining = rng.binomial(profile.counts, 1 - share)
    return replace(
        profile,
        counts=remaining,
        missing=profile.missing + profile.n - int(remaining.sum()),
    )


def unseen(profile: Profile, share: float, rng: np.random.Generator) -> Profile:
    """Make a share of the values new to the reference: a new category, or beyond its range."""
    moved = rng.binomial(profile.counts, share)
    counts = profile.counts - moved
    counts[-1] += moved.sum()
    return replace(profile, counts=counts)


def failing(profile: Profile, share: float, rng: np.random.Generator) -> Profile:
    """A share of the requests that went well fails too."""
    counts = profile.counts.copy()
    failed = rng.binomial(counts[:FIRST_SERVER_ERROR], share)
    counts[:FIRST_SERVER_ERROR] -= failed
    counts[FIRST_SERVER_ERROR] += failed.sum()
    return replace(profile, counts=counts)


def thinned(profile: Profile, share: float, rng: np.random.Generator) -> Profile:
    """Keep only a share of the rows."""
    counts = rng.binomial(profile.counts, share)
    missing, invalid = (
        int(rng.binomial(profile.missing, share)),
        int(rng.binomial(profile.invalid, share)),
    )
    return replace(
        profile,
        counts=counts,
        missing=missing,
        invalid=invalid,
        rows=int(counts.sum()) + missing + invalid,
    )


def _drawn(n: int, shares: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    shares = np.clip(shares, 0, None)
    return rng.multinomial(n, shares / shares.sum()).astype(np.int64)


def _changes(
    layouts: Mapping[str, Layout], hours: StoredHours, courses: Mapping[str, LaneRun]
) -> list[tuple[str, str, str, Change]]:
    """(what, lane, column, how): the changes that this model's columns allow, each on the column with most values."""
    changes: list[tuple[str, str, str, Change]] = []

    def fullest(kind: str, lane: str) -> str | None:
        columns = courses[lane].lane.columns(layouts) if lane in courses else []
        candidates = [
            c
            for c in columns
            if layouts[c].kind == kind and c not in NON_FEATURE_COLUMNS
        ]
        candidates = [
            c
            for c in candidates
            if kind != "categorical" or np.count_nonzero(_sum(hours, c)[:-1]) > 1
        ]
        candidates = [
            c for c in candidates if lane != "unseen" or layouts[c].unseen < FEW_UNSEEN
        ]
        return max(candidates, key=lambda c: int(_sum(hours, c).sum()), default=None)

    number, category = fullest("numeric", "inputs"), fullest("categorical", "inputs")
    if number:
        changes += [
            (f"mean +{size} sd", "inputs", number, _mover(size))
            for size in (0.1, 0.2, 0.5)
        ]
    if category:
        changes.append(
            (
                "5 % to another category",
                "inputs",
                category,
                lambda p, rng: exchanged(p, 0.05, rng),
            )
        )
    either = number or category
    if either:
        changes.append(
            ("10 % missing", "inputs", either, lambda p, rng: lost(p, 0.1, rng))
        )
    strange = fullest("categorical", "unseen") or fullest("numeric", "unseen")
    if strange:
        changes.append(
            ("2 % never seen", "unseen", strange, lambda p, rng: unseen(p, 0.02, rng))
        )
    if "errors" in courses:
        status = _sum(hours, "status")
        rate = max(
            float(status[FIRST_SERVER_ERROR:].sum() / max(1, status.sum())), 0.001
        )
        changes.append(
            (
                "twice the errors",
                "errors",
                "status",
                lambda p, rng: failing(p, rate, rng),
            )
        )
    if "traffic" in courses:
        changes.append(
            (
                "half the traffic",
                "traffic",
                "status",
                lambda p, rng: thinned(p, 0.5, rng),
            )
        )
    return changes


def _mover(size: float) -> Change:
    return lambda profile, rng: moved(profile, size, rng)


def _sum(hours: StoredHours, column: str) -> np.ndarray:
    return np.asarray(np.sum([w.profiles[column].counts for w in hours], axis=0))


def _changed(
    hours: StoredHours,
    judged: int,
    column: str,
    change: Change,
    rng: np.random.Generator,
) -> StoredHours:
    """A copy of the hours with the change in the last `judged` ones."""
    new = [
        replace(w, profiles={**w.profiles, column: change(w.profiles[column], rng)})
        for w in hours[-judged:]
    ]
    return [*hours[:-judged], *new]


def _course(course: LaneRun) -> LaneRun:
    """The same machine, as if nothing had happened yet."""
    fresh = LaneRun(course.lane, course.budget_hours, course.tolerance, course.machine)
    if course.machine is not None:
        fresh.machine = replace(
            course.machine, starts=course.machine.since.replace(year=1971)
        )
        fresh.state = course.lane.initial(course.machine.learned)
    return fresh


def _first_page(
    course: LaneRun, hours: StoredHours, judged: int
) -> tuple[int | None, float, tuple[str, ...]]:
    """After how many judged hours the lane pages, None when it does not; the highest evidence; the columns named."""
    fresh, top = _course(course), 0.0
    for i, window in enumerate(hours):
        step = fresh.add_window(window, _after(fresh), window.index + 1, True)
        if step is None or i < len(hours) - judged:
            continue
        pages = [e for e in step.episodes if e.opened >= hours[-judged].index]
        if pages:
            return i + 1 - (len(hours) - judged), 1.0, pages[0].columns
        top = max(top, step.evidence)
    return None, top, ()


def _highest(course: LaneRun, hours: StoredHours, judged: int) -> tuple[float, int]:
    """The highest evidence of the hours as they were, as a share of a page, and how often it paged."""
    fresh, top, pages = _course(course), 0.0, 0
    open_before = 0
    for window in hours:
        step = fresh.add_window(window, _after(fresh), window.index + 1, True)
        if step is None:
            continue
        pages += len(step.episodes) > open_before
        open_before = len(step.episodes)
        top = max(top, step.evidence, 1.0 if step.episodes else 0.0)
    return top, pages


def _after(course: LaneRun) -> Any:
    """Return a time after the start of the machine's validity: every hour is to be judged."""
    return course.machine.starts + HOUR if course.machine is not None else None
