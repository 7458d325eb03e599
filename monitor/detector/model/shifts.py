"""Shifts: changes of distributions, from the detection until they have ended.

An open episode is estimated again for a week after its detection.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from monitor.detector.model.effects import (
    Effect,
    RecentResiduals,
    effects,
    means,
    onset,
    recent_residuals,
    significant_effects,
)
from monitor.detector.model.episode import (
    CALM_SHARE,
    DAY,
    WEEK,
    Change,
    Episode,
    split_ended,
)
from monitor.detector.model.fit import Fitted
from monitor.detector.model.step import DIRECTIONS, Page, Signal, State, initial, step
from monitor.detector.model.streams import Hour
from monitor.detector.model.time_shift import displacement
from monitor.detector.model.weekdays import (
    Borrowed,
    Morning,
    add_borrowed_day,
    find_matching_weekday,
    restart_from_morning,
    with_borrowed_weekdays,
)
from monitor.schema import NON_FEATURE_COLUMNS, RECONSTRUCTION_ERROR

REVISION_HOURS = 6  # between two revisions of an open episode
MAX_CLOCK_DIFFERENCE_HOURS = 1  # between two columns with one time shift


@dataclass(frozen=True)
class Warning:
    """The window of a warning of the sensitive detector, and its main column.

    The column is empty when all columns shifted together.
    """

    index: int
    column: str


@dataclass(frozen=True)
class Shift:
    """The machine for distributions: a detector that opens alerts, and a sensitive one.

    The sensitive detector has a smaller tolerance and only warns.
    """

    fitted: Fitted
    sensitive: Fitted


@dataclass(frozen=True, eq=False)
class ShiftState:
    """State of both detectors, with the open episodes.

    `page` and `warning` are the states of the two detectors, `warned` the newest warning,
    `evidence` that of the last window, `morning` the filters at the start of the day,
    `borrowed` the recent days with the pattern of another weekday.
    """

    page: State
    warning: State
    episodes: tuple[Episode, ...] = ()
    warned: Warning | None = None
    evidence: float = 0.0
    morning: Morning | None = None
    borrowed: tuple[Borrowed, ...] = ()


def initial_shift(machine: Shift) -> ShiftState:
    """Return the state at the end of the reference."""
    return ShiftState(initial(machine.fitted), initial(machine.sensitive))


def advance_shift(
    machine: Shift, state: ShiftState, recent: Sequence[Hour]
) -> tuple[ShiftState, list[Episode]]:
    """Advance by one window, the last of `recent` (up to a week of windows).

    Return the state, and the episodes that ended with the window.
    """
    recent = with_borrowed_weekdays(state.borrowed, recent)
    state, recent, signal = _step_detectors(machine, state, recent)
    hour = recent[-1]
    if hour.is_empty or (signal.page is None and not state.episodes):
        return state, []
    fitted = machine.fitted
    width = fitted.settings.width
    episodes = list(state.episodes)
    is_estimation_due = signal.page is not None or any(
        _is_revision_due(episode, hour.index, width) for episode in episodes
    )
    hours = recent if is_estimation_due else recent[-DAY // width :]
    residuals = recent_residuals(fitted, hours)
    if signal.page is not None and len(residuals.index):
        _open(fitted, episodes, signal.page, residuals, hour.index)
    if not len(residuals.index) or hour.special:
        return replace(state, episodes=tuple(episodes)), []
    for i in range(len(episodes)):
        episodes[i] = _after_window(fitted, episodes, i, residuals, hour.index)
    still_open, ended = split_ended(episodes, width)
    return replace(state, episodes=still_open), ended


def _step_detectors(
    machine: Shift, state: ShiftState, recent: Sequence[Hour]
) -> tuple[ShiftState, Sequence[Hour], Signal]:
    """Advance both detectors by the last of `recent`.

    Where today follows another weekday, the day so far is evaluated as that weekday.
    Return the state, the windows, and the signal of the detector that opens alerts.
    """
    fitted, sensitive = machine.fitted, machine.sensitive
    state = _with_morning(fitted, state, recent[-1].index)
    alerted = _alerted_streams(fitted, state.episodes)
    page, signal = step(fitted, state.page, recent[-1], alerted)
    warning, sensitive_signal = step(sensitive, state.warning, recent[-1], alerted)
    pages = (signal.page, sensitive_signal.page)
    other = _matching_weekday(fitted, state, recent, pages)
    if other is not None:
        state, recent = _borrow_weekday(machine, state, recent, other)
        page, signal = step(fitted, state.page, recent[-1], alerted)
        warning, sensitive_signal = step(sensitive, state.warning, recent[-1], alerted)
    warned = state.warned
    if sensitive_signal.page:
        warned = Warning(recent[-1].index, sensitive_signal.page.column)
    state = replace(
        state, page=page, warning=warning, warned=warned, evidence=signal.evidence
    )
    return state, recent, signal


def _with_morning(fitted: Fitted, state: ShiftState, index: int) -> ShiftState:
    """Return the state; at the first window of a day it stores the filters before it."""
    if not fitted.settings.weekdays:
        return state
    if state.morning is not None and state.morning.index // DAY == index // DAY:
        return state
    morning = Morning(index, state.page.level, state.warning.level)
    return replace(state, morning=morning)


def _matching_weekday(
    fitted: Fitted,
    state: ShiftState,
    recent: Sequence[Hour],
    pages: Sequence[Page | None],
) -> Borrowed | None:
    """Return the weekday that explains the pages of the detectors; None without one.

    Missing values have no weekly pattern.
    """
    streams = [page.stream for page in pages if page is not None]
    has_missing = any(s is not None and s.contrast == "missing" for s in streams)
    if state.morning is None or not streams or has_missing:
        return None
    today = _hours_since(state.morning, recent)
    return find_matching_weekday(fitted, state.morning.page, today, state.borrowed)


def _borrow_weekday(
    machine: Shift, state: ShiftState, recent: Sequence[Hour], other: Borrowed
) -> tuple[ShiftState, Sequence[Hour]]:
    """Return the state before the last window with today evaluated as another weekday.

    The second part are the windows with the season of that weekday.
    """
    morning = state.morning
    if morning is None:
        raise LookupError("the filters of this morning are not stored")
    recent = with_borrowed_weekdays([other], recent)
    earlier = _hours_since(morning, recent[:-1])
    page = restart_from_morning(machine.fitted, state.page, morning.page, earlier)
    warning = restart_from_morning(
        machine.sensitive, state.warning, morning.warning, earlier
    )
    borrowed = add_borrowed_day(state.borrowed, other)
    state = replace(state, page=page, warning=warning, borrowed=borrowed)
    return state, recent


def _hours_since(morning: Morning, recent: Sequence[Hour]) -> list[Hour]:
    return [h for h in recent if h.index >= morning.index and not h.is_empty]


def _alerted_streams(fitted: Fitted, episodes: Sequence[Episode]) -> np.ndarray | None:
    """Return the streams, and last the joint ones, of open episodes, (K + 1,); None without one.

    A changed feature is rebuilt badly from the others, so its episode includes the
    reconstruction error.
    """
    if not episodes:
        return None
    columns = {column for episode in episodes for column in episode.columns}
    if columns - NON_FEATURE_COLUMNS:
        columns.add(RECONSTRUCTION_ERROR)
    is_alerted = [stream.feature in columns for stream in fitted.streams.streams]
    is_joint_alerted = any(not episode.lead for episode in episodes)
    return np.array([*is_alerted, is_joint_alerted])


def _open(
    fitted: Fitted,
    episodes: list[Episode],
    page: Page,
    recent: RecentResiduals,
    at: int,
) -> None:
    """Add the episode of a page, or add its changes to the open episode it belongs to."""
    stream = None if page.stream is None else fitted.streams.streams.index(page.stream)
    side = DIRECTIONS.index(page.direction) if page.direction else 0
    since = at if page.rule == "at once" else onset(fitted, recent, stream, side)
    significant = significant_effects(fitted, effects(fitted, recent, since))
    changes = _changes(fitted, significant, recent, since, stream)
    lead = page.column
    same = _same_episode(fitted, episodes, recent, lead, at)
    if same is None:
        size = changes[0].size if lead else _joint_size(fitted, recent, since)
        rising = side == 0
        episode = Episode(at, since, lead, rising, page.rule, tuple(changes), size)
        episodes.append(episode)
        return
    first = episodes[same]
    keys = {(c.column, c.contrast, c.stream) for c in first.changes}
    new = [c for c in changes if (c.column, c.contrast, c.stream) not in keys]
    episodes[same] = replace(first, changes=(*first.changes, *new))


def _same_episode(
    fitted: Fitted,
    episodes: Sequence[Episode],
    recent: RecentResiduals,
    lead: str,
    at: int,
) -> int | None:
    """Return the index of the open episode that a page belongs to; None without one.

    It opened within the cooldown, or all columns shift together, or both have one time
    shift.
    """
    cooldown = fitted.settings.cooldown
    for i, episode in enumerate(episodes):
        is_recent = at - episode.opened < cooldown
        if not episode.lead or is_recent:
            return i
        if _has_same_time_shift(fitted, episode, recent, lead):
            return i
    return None


def _has_same_time_shift(
    fitted: Fitted, episode: Episode, recent: RecentResiduals, lead: str
) -> bool:
    """Return whether a page has the time shift of an episode.

    `lead` is the column of the page, empty for all columns.
    """
    columns = {lead} if lead else {s.feature for s in fitted.streams.streams}
    of_episode = displacement(fitted, recent, episode.onset, episode.columns)
    of_page = displacement(fitted, recent, episode.onset, columns)
    if not of_episode or not of_page:
        return False
    return abs(of_episode - of_page) <= MAX_CLOCK_DIFFERENCE_HOURS


def _changes(
    fitted: Fitted,
    significant: Sequence[Effect],
    recent: RecentResiduals,
    since: int,
    stream: int | None,
) -> list[Change]:
    """Return significant effects as changes.

    `stream`, that of the page, is the first, even if it is not significant.
    """
    if stream is not None:
        own = effects(fitted, recent, since)[stream]
        significant = [own, *(e for e in significant if e.stream != stream)]
    streams = fitted.streams.streams
    return [
        Change(
            column=streams[effect.stream].feature,
            contrast=streams[effect.stream].contrast,
            stream=effect.stream,
            size=effect.size,
            low=effect.low,
            high=effect.high,
        )
        for effect in significant
    ]


def _is_revision_due(episode: Episode, at: int, width: int) -> bool:
    """Return whether an episode is estimated again: every six hours for a week.

    The first rows after a change may be an unlucky sample.
    """
    age = at - episode.opened
    return 0 < age < WEEK and age % max(REVISION_HOURS, width) == 0


def _after_window(
    fitted: Fitted,
    episodes: Sequence[Episode],
    i: int,
    recent: RecentResiduals,
    at: int,
) -> Episode:
    """Return the episode `i` after the window `at`."""
    episode = episodes[i]
    is_due = _is_revision_due(episode, at, fitted.settings.width)
    if is_due:
        delay = displacement(fitted, recent, episode.onset, episode.columns)
        episode = replace(episode, displaced=delay)
    is_calm = _is_calm(fitted, episode, recent, at)
    if not is_calm and is_due:
        # after the end of a change, more hours would only dilute its estimate
        others = {c for k, e in enumerate(episodes) if k != i for c in e.columns}
        episode = _revised(fitted, episode, recent, others)
    return episode.after_window(is_calm)


def _revised(
    fitted: Fitted, episode: Episode, recent: RecentResiduals, others: set[str]
) -> Episode:
    """Return the episode estimated from all hours since its onset.

    The columns of other open episodes, `others`, are left out.
    """
    candidates = effects(fitted, recent, episode.onset)
    streams = fitted.streams.streams
    significant = [
        effect
        for effect in significant_effects(fitted, candidates)
        if streams[effect.stream].feature not in others
    ]
    first = episode.changes[0].stream if episode.lead else None
    changes = _changes(fitted, significant, recent, episode.onset, first)
    if first is not None:
        return replace(episode, changes=tuple(changes), size=changes[0].size)
    size = max(episode.size, _joint_size(fitted, recent, episode.onset))
    return replace(episode, changes=tuple(changes), size=size)


def _joint_size(fitted: Fitted, recent: RecentResiduals, since: int) -> float:
    """Return the root mean square distance of all streams since an hour, in sd.

    The part that sampling adds is subtracted.
    """
    is_since = recent.index >= since
    binned = fitted.streams.binned
    rows = 1 / recent.variances[is_since][:, binned]
    total = rows.sum(axis=0)
    mean = (rows * recent.residuals[is_since][:, binned]).sum(axis=0) / total
    mean_square = float((mean**2 - 1 / total).mean())
    return float(np.sqrt(max(0.0, mean_square)))


def _is_calm(
    fitted: Fitted, episode: Episode, recent: RecentResiduals, at: int
) -> bool:
    """Return whether the last day was back to normal for all streams of an episode.

    Normal is a distance within half of the change, or within the tolerance.
    """
    since = at - DAY + fitted.settings.width
    if not episode.is_a_day_old(at, fitted.settings.width):
        return False
    if episode.displaced and displacement(fitted, recent, since, episode.columns):
        return False  # a time shift leaves the mean of a whole day as it is
    if not episode.lead and not episode.changes:
        return _joint_size(fitted, recent, since) <= CALM_SHARE * episode.size
    mean, _, _ = means(fitted, recent, since)
    unit = np.ones_like(mean)
    unit[fitted.streams.missing] = fitted.streams.missing_sd
    streams = [change.stream for change in episode.changes]
    sizes = np.array([abs(change.size) for change in episode.changes])
    tolerance = (fitted.wander.tolerance * unit)[streams]
    limit = np.maximum(tolerance, CALM_SHARE * sizes)
    return bool((np.abs(mean * unit)[streams] <= limit).all())
