"""Changes of distributions from page to all-clear: named, revised for a week, and ended when they are over."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from monitor.detector.model import naming
from monitor.detector.model.episode import (
    CALM_SHARE,
    DAY,
    WEEK,
    Change,
    Episode,
    parted,
)
from monitor.detector.model.fit import Fitted
from monitor.detector.model.step import DIRECTIONS, Page, State, initial, step
from monitor.detector.model.streams import Hour
from monitor.detector.model.time_shift import displacement
from monitor.detector.model.weekdays import (
    Borrowed,
    Morning,
    alike,
    dressed,
    remembered,
    resumed,
)
from monitor.schema import NON_FEATURE_COLUMNS, RECONSTRUCTION_ERROR

REVISED_EVERY = 6  # hours
SAME_CLOCK = 1  # hours by which two columns may be displaced apart


@dataclass(frozen=True)
class Warning:
    """The window in which the sensitive detector warned, and the column that led; empty when all moved together."""

    index: int
    column: str


@dataclass(frozen=True)
class Shift:
    """The machine for distributions: the detector that pages, and a more sensitive one that only warns."""

    fitted: Fitted
    sensitive: Fitted


@dataclass(frozen=True, eq=False)
class ShiftState:
    """The state of both detectors: open episodes, last warning, filters of this morning, odd days.

    The odd days are those of the last days that went like another weekday.
    """

    page: State
    warning: State
    episodes: tuple[Episode, ...] = ()
    warned: Warning | None = None
    evidence: float = 0.0
    morning: Morning | None = None
    borrowed: tuple[Borrowed, ...] = ()


def initial_shift(machine: Shift) -> ShiftState:
    """The state at the end of the reference."""
    return ShiftState(initial(machine.fitted), initial(machine.sensitive))


def advance_shift(
    machine: Shift, state: ShiftState, recent: Sequence[Hour]
) -> tuple[ShiftState, list[Episode]]:
    """One more window, the last of `recent` (up to a week of them); the state, and the episodes that ended with it."""
    fitted = machine.fitted
    recent = dressed(state.borrowed, recent)
    state = _since_morning(fitted, state, recent[-1].index)
    alerted = _alerted_streams(fitted, state.episodes)
    page, signal = step(fitted, state.page, recent[-1], alerted)
    warning, sensed = step(machine.sensitive, state.warning, recent[-1], alerted)
    other = _other_weekday(fitted, state, recent, (signal.page, sensed.page))
    if other is not None:
        state, recent = _borrowing(machine, state, recent, other)
        page, signal = step(fitted, state.page, recent[-1], alerted)
        warning, sensed = step(machine.sensitive, state.warning, recent[-1], alerted)
    hour = recent[-1]
    warned = Warning(hour.index, _lead(sensed.page)) if sensed.page else state.warned
    episodes = list(state.episodes)
    after = replace(
        state, page=page, warning=warning, warned=warned, evidence=signal.evidence
    )
    if hour.is_empty or (signal.page is None and not episodes):
        return after, []
    width = fitted.settings.width
    naming_due = signal.page is not None or any(
        _revision_due(e, hour.index, width) for e in episodes
    )
    last = naming.recent(fitted, recent if naming_due else recent[-DAY // width :])
    if signal.page is not None and len(last.index):
        _open(fitted, episodes, signal.page, last, hour.index)
    if not len(last.index) or hour.special:
        return replace(after, episodes=tuple(episodes)), []
    for i, episode in enumerate(episodes):
        due = _revision_due(episode, hour.index, width)
        if due:
            episode = replace(
                episode,
                displaced=displacement(fitted, last, episode.onset, episode.columns),
            )
        calm = _is_calm(fitted, episode, last, hour.index)
        if not calm and due:
            # once it is calm, more hours would only water the change down
            others = {
                c for k, other in enumerate(episodes) if k != i for c in other.columns
            }
            episode = _revised(fitted, episode, last, others)
        episodes[i] = episode.after(calm)
    going, ended = parted(episodes, width)
    return replace(after, episodes=going), ended


def _since_morning(fitted: Fitted, state: ShiftState, index: int) -> ShiftState:
    """The state, which remembers where the filters stood before the first window of a day."""
    if not fitted.settings.weekdays or (
        state.morning is not None and state.morning.index // DAY == index // DAY
    ):
        return state
    return replace(state, morning=Morning(index, state.page.level, state.warning.level))


def _other_weekday(
    fitted: Fitted,
    state: ShiftState,
    recent: Sequence[Hour],
    pages: Sequence[Page | None],
) -> Borrowed | None:
    """The weekday that explains why one of the detectors would page; missing values have no weekday."""
    streams = [page.stream for page in pages if page is not None]
    if (
        state.morning is None
        or not streams
        or any(s is not None and s.contrast == "missing" for s in streams)
    ):
        return None
    return alike(
        fitted, state.morning.page, _today(state.morning, recent), state.borrowed
    )


def _borrowing(
    machine: Shift, state: ShiftState, recent: Sequence[Hour], other: Borrowed
) -> tuple[ShiftState, Sequence[Hour]]:
    """Return the state before the last of the hours, and the hours, as if today's weekday had been known this morning."""
    if state.morning is None:
        raise LookupError("no morning is known")
    recent = dressed([other], recent)
    before = _today(state.morning, recent[:-1])
    page = resumed(machine.fitted, state.page, state.morning.page, before)
    warning = resumed(machine.sensitive, state.warning, state.morning.warning, before)
    return replace(
        state, page=page, warning=warning, borrowed=remembered(state.borrowed, other)
    ), recent


def _today(morning: Morning, recent: Sequence[Hour]) -> list[Hour]:
    return [h for h in recent if h.index >= morning.index and not h.is_empty]


def _lead(page: Page) -> str:
    return page.stream.feature if page.stream else ""


def _alerted_streams(fitted: Fitted, episodes: Sequence[Episode]) -> np.ndarray | None:
    """Return the mask of the streams, and last the joint ones, of open episodes, (K + 1,).

    A feature that changes is rebuilt badly from the others, so its episode covers the
    reconstruction error too.
    """
    if not episodes:
        return None
    columns = {column for episode in episodes for column in episode.columns}
    if columns - NON_FEATURE_COLUMNS:
        columns.add(RECONSTRUCTION_ERROR)
    alerted = [stream.feature in columns for stream in fitted.streams.streams]
    return np.array([*alerted, any(not episode.lead for episode in episodes)])


def _open(
    fitted: Fitted, episodes: list[Episode], page: Page, last: naming.Recent, at: int
) -> None:
    """Add the episode of a page; it is the same as another within a day, while all move together, or by the same clock."""
    stream = None if page.stream is None else fitted.streams.streams.index(page.stream)
    side = DIRECTIONS.index(page.direction) if page.direction else 0
    since = at if page.rule == "at once" else naming.onset(fitted, last, stream, side)
    named = naming.named(fitted, naming.effects(fitted, last, since))
    changes = _changes(fitted, named, last, since, stream)
    lead = _lead(page)
    cooldown = fitted.settings.cooldown
    same = next(
        (
            i
            for i, e in enumerate(episodes)
            if not e.lead
            or at - e.opened < cooldown
            or _by_its_clock(fitted, e, last, lead)
        ),
        None,
    )
    if same is not None:
        first = episodes[same]
        changed = {(c.column, c.contrast, c.stream) for c in first.changes}
        more = [c for c in changes if (c.column, c.contrast, c.stream) not in changed]
        episodes[same] = replace(first, changes=(*first.changes, *more))
        return
    size = changes[0].size if lead else _joint_size(fitted, last, since)
    episodes.append(
        Episode(at, since, lead, side == 0, page.rule, tuple(changes), size)
    )


def _by_its_clock(
    fitted: Fitted, episode: Episode, last: naming.Recent, lead: str
) -> bool:
    """Return True when a displaced course of the day explains an episode, or what pages now: a column, or all."""
    paging = {lead} if lead else {stream.feature for stream in fitted.streams.streams}
    of_episode, of_lead = (
        displacement(fitted, last, episode.onset, c) for c in (episode.columns, paging)
    )
    return bool(of_episode and of_lead) and abs(of_episode - of_lead) <= SAME_CLOCK


def _changes(
    fitted: Fitted,
    named: Sequence[naming.Effect],
    last: naming.Recent,
    since: int,
    stream: int | None,
) -> list[Change]:
    """The named streams as changes, the one that paged first even if it could not be named."""
    if stream is not None:
        own = naming.effects(fitted, last, since)[stream]
        named = [own, *(e for e in named if e.stream != stream)]
    streams = fitted.streams.streams
    return [
        Change(
            streams[e.stream].feature,
            streams[e.stream].contrast,
            e.stream,
            e.size,
            e.low,
            e.high,
        )
        for e in named
    ]


def _revision_due(episode: Episode, at: int, width: int) -> bool:
    """Every six hours of the week after the page: the first rows after a change may have been unlucky."""
    return (
        0 < at - episode.opened < WEEK
        and (at - episode.opened) % max(REVISED_EVERY, width) == 0
    )


def _revised(
    fitted: Fitted, episode: Episode, last: naming.Recent, others: set[str]
) -> Episode:
    """The episode named again with all that has come since its onset; columns of other open episodes stay theirs."""
    named = naming.named(fitted, naming.effects(fitted, last, episode.onset))
    streams = fitted.streams.streams
    named = [e for e in named if streams[e.stream].feature not in others]
    first = episode.changes[0].stream if episode.lead else None
    changes = _changes(fitted, named, last, episode.onset, first)
    size = (
        changes[0].size
        if first is not None
        else max(episode.size, _joint_size(fitted, last, episode.onset))
    )
    return replace(episode, changes=tuple(changes), size=size)


def _joint_size(fitted: Fitted, last: naming.Recent, since: int) -> float:
    """The root mean square distance of all streams since an hour, without what sampling adds, in sd."""
    chosen, binned = last.index >= since, fitted.streams.binned
    rows = 1 / last.variances[chosen][:, binned]
    mean = (rows * last.residuals[chosen][:, binned]).sum(axis=0) / rows.sum(axis=0)
    return float(np.sqrt(max(0.0, float((mean**2 - 1 / rows.sum(axis=0)).mean()))))


def _is_calm(fitted: Fitted, episode: Episode, last: naming.Recent, at: int) -> bool:
    """Return True when every named stream was within half of its change, or its tolerance, over the last day."""
    since = at - DAY + fitted.settings.width
    if not episode.may_be_calm(at, fitted.settings.width):
        return False
    if episode.displaced and displacement(fitted, last, since, episode.columns):
        return False  # over a whole day its mean is what it was
    if not episode.lead and not episode.changes:
        return _joint_size(fitted, last, since) <= CALM_SHARE * episode.size
    now, _, _ = naming.means(fitted, last, since)
    unit = np.ones_like(now)
    unit[fitted.streams.missing] = fitted.streams.missing_sd
    streams = [c.stream for c in episode.changes]
    changed = np.array([abs(c.size) for c in episode.changes])
    allowed = np.maximum(
        (fitted.wander.tolerance * unit)[streams], CALM_SHARE * changed
    )
    return bool((np.abs(now * unit)[streams] <= allowed).all())
