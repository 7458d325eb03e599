"""One model of a world through the inputs lane as the product runs it: its false pages, or how long a change waited."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from benchmarks.detection.world import FEATURES, Change, Law, Shocks, World
from monitor.detector.lanes.distribution_lane import SENSITIVE, machine_of
from monitor.detector.lanes.lane import Budget
from monitor.detector.lanes.signals import INPUTS
from monitor.detector.model import Hour, Settings
from monitor.detector.model.fit import fit_tolerances
from monitor.detector.model.shifts import Shift, advance_shift, initial_shift

QUARTER, QUIET, WATCHED, BURST_WATCHED = 2160, 168, 720, 48  # hours
WEEK, MONTH = 168, 672
TOLERANCE = 0.05
HOLIDAYS = (24, 61)  # days of the quarter that look like a Sunday


@dataclass(frozen=True)
class Setting:
    """A world without drift. `known`: the holidays are in the calendar."""

    rows: float = 1000
    shocks: Shocks = "normal"
    phi: float = 0.8
    wobble: float = 0.03
    seasonal: bool = True
    reference: int = MONTH
    holidays: bool = False
    known: bool = False


WORLDS: dict[str, Setting] = {
    "about 1,000 rows an hour, seasonal, AR(1)": Setting(),
    "fat shocks (t3)": Setting(shocks="t3"),
    "slow fat shocks (t3, phi .95)": Setting(shocks="t3", phi=0.95),
    "two holidays that look like a Sunday, not in the calendar": Setting(holidays=True),
    "two holidays that look like a Sunday, in the calendar": Setting(
        holidays=True, known=True
    ),
    "slow wandering (phi .97)": Setting(phi=0.97),
    "wandering three times as large (0.1 sd)": Setting(wobble=0.1),
    "about 50 rows an hour": Setting(rows=50),
    "about 20,000 rows an hour": Setting(rows=20_000),
    "two weeks of reference": Setting(reference=336),
    "rare decaying shocks that the reference never had": Setting(shocks="rare"),
    "independent rows": Setting(seasonal=False),
}
CHANGES: dict[str, tuple[str, float, tuple[int, ...]]] = {
    "mean +0.1 sd, 1 feature": ("mean", 0.1, (0,)),
    "mean +0.2 sd, 1 feature": ("mean", 0.2, (0,)),
    "mean +0.5 sd, 1 feature": ("mean", 0.5, (0,)),
    "mean +0.15 sd, 5 features": ("mean", 0.15, (0, 1, 2, 3, 4)),
    "variance x 1.3": ("variance", 1.3, (0,)),
    "category mix, 5 % moved": ("category", 0.05, (14,)),
    "missing 12 %": ("missing", 0.12, (2,)),
    "missing burst, 6 h at 30 %": ("burst", 0.3, (2,)),
    "gradual to 0.5 sd in 14 days": ("gradual", 0.5, (0,)),
    "segment mix, 15 % moved": ("segment", 0.15, (0,)),
    "season shifted by 6 h": ("season", 6.0, (0,)),
}


@dataclass(frozen=True)
class Outcome:
    """Hours of pages and of warnings, counted from the first watched hour; the tail class of the machine; rules by page."""

    pages: tuple[int, ...]
    warnings: tuple[int, ...]
    heavy: bool
    rules: tuple[str, ...]


def machine(reference: list[Hour]) -> Shift:
    """The machine of the inputs lane with a budget of one false page in 90 days for the model."""
    return machine_of(FEATURES, reference, Budget(QUARTER / INPUTS.share, TOLERANCE, 1))


def version_2(reference: list[Hour]) -> Shift:
    """Version 2 of the detector: `Settings()`, the whole budget for the inputs."""
    return Shift(
        *fit_tolerances(
            FEATURES, reference, Settings(level=QUARTER), [TOLERANCE, SENSITIVE]
        )
    )


def watch(shift: Shift, hours: list[Hour], at: int | None = None) -> Outcome:
    """The hours in order, episodes opening and closing as in the product; all of them, or until there was both a page and
    a warning from hour `at` on."""
    state, pages, warnings, rules = initial_shift(shift), [], [], []
    for i, hour in enumerate(hours):
        before = len(pages)
        state, _ = advance_shift(shift, state, hours[max(0, i - WEEK + 1) : i + 1])
        opened = [e for e in state.episodes if e.opened == hour.index]
        pages += [i] * bool(opened)
        rules += [
            f"{e.rule} {e.changes[0].contrast if e.changes else 'joint'}"
            for e in opened[: len(pages) - before]
        ]
        if state.warned is not None and state.warned.index == hour.index:
            warnings.append(i)
        if at is not None and pages and warnings and min(pages[-1], warnings[-1]) >= at:
            break
    return Outcome(
        tuple(pages), tuple(warnings), shift.fitted.tail_class == "heavy", tuple(rules)
    )


LaneRun = tuple[list[Hour], list[Law]]


def quiet(
    name: str, seed: int, make: Callable[[list[Hour]], Shift] = machine
) -> Outcome:
    """A quarter of a world without drift."""
    _, (reference, _), (hours, _) = quiet_courses(name, seed)
    if WORLDS[name].holidays:
        hours = _with_holidays(hours, WORLDS[name].known)
    return watch(make(reference), hours)


def changed(
    name: str, seed: int, make: Callable[[list[Hour]], Shift] = machine
) -> tuple[int, Outcome]:
    """A week of quiet, a change at some hour of the day, and a month: hours from the change to the first page."""
    _, (reference, _), (hours, _), at = changed_courses(name, seed)
    return at, watch(make(reference), hours, at)


def quiet_courses(name: str, seed: int) -> tuple[World, LaneRun, LaneRun]:
    """The world, its reference and its quarter, holidays not yet put in."""
    s = WORLDS[name]
    world = World(seed, s.rows, s.shocks, s.phi, s.wobble, s.seasonal)
    return world, world.course(s.reference), world.course(QUARTER)


def changed_courses(name: str, seed: int) -> tuple[World, LaneRun, LaneRun, int]:
    """The world, its reference, its watched hours, and in which of them the change begins."""
    kind, size, features = CHANGES[name]
    world = World(seed)
    reference = world.course(MONTH)
    at = QUIET + (seed * 5) % 24
    number = QUIET + (BURST_WATCHED if kind == "burst" else WATCHED)
    watched = world.course(number, Change(kind, MONTH + at, size, features))  # type: ignore[arg-type]
    return world, reference, watched, at


def holiday_order(hours: list[Hour]) -> list[int]:
    """Return an order of hours in which two weekdays look like the Sunday of their week."""
    order = list(range(len(hours)))
    for day in HOLIDAYS:
        first = day * 24
        sunday = first + (6 - (hours[first].index // 24) % 7) * 24
        order[first : first + 24] = range(sunday, sunday + 24)
    return order


def _with_holidays(hours: list[Hour], known: bool) -> list[Hour]:
    return [
        Hour(hour.index, hours[source].counts, hours[source].missing, known)
        if source != i
        else hour
        for i, (hour, source) in enumerate(
            zip(hours, holiday_order(hours), strict=True)
        )
    ]


def merged(pages: Iterable[int], cooldown: int = 24) -> list[int]:
    """Pages of which none follows another within a day."""
    kept: list[int] = []
    for page in pages:
        if not kept or page - kept[-1] >= cooldown:
            kept.append(page)
    return kept
