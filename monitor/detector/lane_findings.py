"""Findings of the detector: of its episodes, and of the progress of each lane."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from monitor.calendar import Calendar
from monitor.detector.label_delay import Overdue
from monitor.detector.lane_run import Step
from monitor.detector.lanes.segment_lane import parts
from monitor.detector.model.episode import Change, Episode
from monitor.evaluation.attribution import Attribution
from monitor.evaluation.cause import cause_of
from monitor.finding import Finding, Moved, Verdict

STATISTICS = {
    "inputs": "inputs_change",
    "segments": "inputs_change",
    "unseen": "unseen_values",
    "latency": "latency_change",
    "errors": "error_rise",
    "traffic": "traffic_change",
    "quality": "quality_change",
}
UNITS = {
    "missing": "share",
    "unseen": "share",
    "error rate": "share",
    "wrong share": "share",
    "traffic": "times",
}
RULE = "detector."
LABELS = "detector.labels"  # the rule of labels that no longer come


def findings(
    model: str,
    step: Step,
    calendar: Calendar,
    names: dict[str, str],
    tolerance: float,
    behind: Callable[[Step, Episode], Attribution | None],
) -> list[Finding]:
    """One finding for each episode of a step: a breach while it is open, ok once it has ended; `behind` explains them."""
    verdicts: list[tuple[Episode, Verdict]] = [(e, "breach") for e in step.episodes]
    verdicts += [(e, "ok") for e in step.ended]
    return [
        _explained(
            finding(model, step, e, verdict, calendar, names, tolerance),
            behind(step, e),
        )
        for e, verdict in verdicts
    ]


def _explained(finding: Finding, behind: Attribution | None) -> Finding:
    """Return the finding with its attribution, where the change itself has no better cause."""
    if behind is None or finding.cause not in ("mix", "relation", "upstream", "change"):
        return finding
    return replace(finding, cause=behind.cause, behind=behind.segment)


def finding(
    model: str,
    step: Step,
    episode: Episode,
    verdict: Verdict,
    calendar: Calendar,
    names: dict[str, str],
    tolerance: float,
) -> Finding:
    """An episode as a finding; columns have their own names in it, and the window is that of the whole change."""
    column, segment = parts(episode.lead)
    moved = tuple(_moved(change, names, segment) for change in episode.changes)
    first = moved[0] if moved else None
    rate = (
        first is not None
        and UNITS.get(first.contrast) == "share"
        and first.contrast != "missing"
    )
    unit = UNITS.get(first.contrast, "sd") if first else "sd"
    rates = step.machine.rates
    stream = episode.changes[0].stream if episode.changes else 0
    finding = Finding(
        model=model,
        rule=RULE + step.lane,
        statistic=STATISTICS[step.lane],
        column=names.get(column, column) or None,
        segment=segment,
        verdict=verdict,
        value=first.size if first else episode.size,
        low=first.low if first else None,
        high=first.high if first else None,
        unit=unit,
        limit=float(rates.null[stream])
        if rate and rates is not None
        else tolerance
        if first and unit == "sd"
        else None,
        warn=None,
        compare="value",
        direction="above" if episode.rising else "below",
        reference_value=float(rates.usual[stream])
        if rate and rates is not None
        else None,
        n=step.rows,
        n_reference=0,
        minimum=0,
        window_start=calendar.start(episode.onset),
        window_end=step.end,
        severity="critical",
        moved=moved,
    )
    constant = {names.get(c, c) for c, of in map(parts, step.constant) if of == segment}
    watched = len(step.machine.columns)
    return replace(
        finding, cause=cause_of(finding, watched, constant, episode.displaced)
    )


def progress_finding(
    model: str,
    verdict: Verdict,
    evidence: float | None,
    span: tuple[datetime, datetime],
    column: str,
    needs: int = 0,
) -> Finding:
    """Return the detector's progress as a finding that never pages.

    Its value is the evidence as a share of a page's. `needs`: the number of windows with
    rows that are still missing when the time to learn is over.
    """
    return Finding(
        model=model,
        rule=RULE.removesuffix("."),
        statistic="detector_evidence",
        column=column or None,
        verdict=verdict,
        value=evidence,
        low=None,
        high=None,
        unit="share",
        limit=1.0,
        warn=None,
        compare="value",
        direction="above",
        reference_value=None,
        n=0,
        n_reference=0,
        minimum=needs,
        window_start=span[0],
        window_end=span[1],
    )


def labels_overdue(model: str, overdue: Overdue, now: datetime) -> Finding:
    """Labels that should have come, as a warning: quality is that of some time ago."""
    return Finding(
        model=model,
        rule=LABELS,
        statistic="labels_overdue",
        column=None,
        verdict="breach",
        value=(now - overdue.since).total_seconds(),
        low=None,
        high=None,
        unit="s",
        limit=overdue.allowed.total_seconds(),
        warn=None,
        compare="value",
        direction="above",
        reference_value=None,
        n=overdue.rows,
        n_reference=0,
        minimum=0,
        window_start=overdue.since,
        window_end=now,
        severity="warning",
    )


def step_after_acceptance(
    step: Step, episodes: Sequence[Episode], at: datetime
) -> Step:
    """Return the step that ends episodes after a person accepted them."""
    return replace(step, end=at, episodes=(), ended=tuple(episodes))


def _moved(change: Change, names: dict[str, str], segment: str) -> Moved:
    column, of = parts(change.column)
    name = names.get(column, column) + (f" ({of})" if of != segment else "")
    size, low, high = change.size, change.low, change.high
    # an estimate plus its season may be a little more than all rows
    if UNITS.get(change.contrast) == "share":
        size, low, high = (max(-1.0, min(1.0, value)) for value in (size, low, high))
    return Moved(name, change.contrast, size, low, high)
