"""Evaluation of rules on stored profiles: windows that close, their profiles, their findings."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import pairwise

from monitor.config.config import Config
from monitor.config.rule import RuleConfig
from monitor.evaluation.rules import Window, columns_of, evaluate_all, window_of
from monitor.finding import Finding
from monitor.profile import Profile, merge, sliding
from monitor.schema import RECONSTRUCTION_ERROR
from monitor.store import Store
from monitor.store.model import Model

DECIDED = ("ok", "warn", "breach")
MAX_PROFILES = 300_000  # of one read: steps x columns
# before a window, whose same hours together are a rolling reference
REFERENCE_WEEKS = 4

# what makes findings of a window reusable: segment, version, names and windows of rules
Question = tuple[str, ...]
Remembered = dict[Question, tuple[Window, list[Finding]]]


@dataclass(frozen=True)
class RuleGroup:
    """Rules that need the same profiles: of one segment and version, over these windows."""

    segment: str
    version: str | None
    against: str
    windows: tuple[Window, ...]


class RuleEvaluator:
    """Evaluates rules on stored profiles.

    It remembers the findings of windows that have received no row since.
    """

    def __init__(self, store: Store, config: Config) -> None:
        self.store, self.config = store, config
        # the earliest row that a model received since its findings were remembered
        self._touched: dict[str, datetime] = {}
        self._remembered: dict[str, Remembered] = {}
        self._first: dict[str, datetime] = {}
        self._ahead: dict[str, dict[tuple[str, Window], dict[str, Profile]]] = {}

    def note_rows(self, model: str, earliest: datetime) -> None:
        """Invalidate the findings of windows that new rows may be in."""
        self._touched[model] = min(earliest, self._touched.get(model, earliest))
        self._ahead.pop(model, None)

    def forget(self, model: str) -> None:
        """Forget a model's findings, as its layouts changed."""
        self._remembered.pop(model, None)
        self._ahead.pop(model, None)

    def forget_first_events(self) -> None:
        """Forget the first events, as rows were deleted."""
        self._first.clear()

    def ask_first_events(self, names: Sequence[str]) -> None:
        """Read the first events of many models at once, as far as they are unknown."""
        unknown = [name for name in names if name not in self._first]
        if unknown:
            self._first |= self.store.first_events(unknown)

    def read_ahead(self, models: Sequence[Model], at: datetime) -> None:
        """Read the windows that close at one time for many models together.

        The next `findings` of that time use them. Statements are the cost of a model of
        few columns: thousands of models need as many as one.
        """
        needed: dict[tuple[str, Window], dict[str, set[str]]] = {}
        for model in models:
            self._add_needed(needed, model, at)
        self._ahead = {model.name: {} for model in models}
        for (segment, window), columns in needed.items():
            profiles = self.store.profiles_of(
                columns, window.start, window.end, segment
            )
            for name, of_model in profiles.items():
                if name in self._ahead:  # else rows were received meanwhile
                    self._ahead[name][segment, window] = of_model

    def _add_needed(
        self,
        needed: dict[tuple[str, Window], dict[str, set[str]]],
        model: Model,
        at: datetime,
    ) -> None:
        """Add the columns that a model's rules need, by segment and window."""
        names, layouts = column_names(model), self.store.layouts(model.name)
        calendar = self.config.model(model.name).detector.calendar
        remembered = {
            (question[0], window)
            for question, (window, _) in self._remembered.get(model.name, {}).items()
            if self._is_untouched(model.name, window)
        }
        for rule in self.config.all_rules:
            window = window_of(rule, at, calendar)
            is_common = rule.version is None and rule.against == "reference"
            if not is_common or rule.model not in ("*", model.name):
                continue
            if (rule.segment, window) not in remembered:
                by_model = needed.setdefault((rule.segment, window), {})
                columns = by_model.setdefault(model.name, set())
                columns.update(columns_of(rule, layouts, names))

    def _is_untouched(self, name: str, window: Window) -> bool:
        """True if no row was received for a window since its findings were remembered."""
        touched = self._touched.get(name)
        return touched is None or touched >= window.end

    def findings(
        self,
        model: Model,
        moments: Sequence[datetime],
        rules: Sequence[RuleConfig] | None = None,
        keep: bool | None = None,
    ) -> list[list[Finding]]:
        """The findings of every rule on every column, one list for each evaluation time.

        `moments`: the evaluation times, ascending. `rules`: other rules than the
        configured ones, as for a replay; their findings are not remembered unless
        `keep` is True.
        """
        if keep is None:
            keep = rules is None
        keep = keep and len(moments) == 1
        if rules is None:
            rules = self.config.all_rules
        names = column_names(model)
        layouts = self.store.layouts(model.name)
        reference = self.store.references.profiles(model.name)
        first = self.first_event(model.name)
        remembered = self._valid(model.name) if keep else {}
        findings: list[list[Finding]] = [[] for _ in moments]
        for group, members in self._groups(model.name, moments, rules).items():
            question = _question(group, members)
            earlier = remembered.get(question)
            if earlier is not None and earlier[0] == group.windows[0]:
                findings[0] += earlier[1]  # the same rows in the same window
                continue
            columns = sorted(
                {c for rule in members for c in columns_of(rule, layouts, names)}
            )
            read = self._window_profiles(
                model.name, group.windows, columns, group.segment, group.version
            )
            compared = self._compared_with(model.name, group, columns)
            for i, window in enumerate(group.windows):
                current = _at(read, i)
                base = reference if compared is None else _at(compared, i)
                of_window = evaluate_all(
                    members, model.name, current, base, names, window
                )
                if first is not None and first > window.start + _half_of(window):
                    of_window = [_undecided(finding) for finding in of_window]
                findings[i] += of_window
                if keep:
                    remembered[question] = window, of_window
            # those of ten thousand columns are freed before the next ones are read
            del read, compared, current, base
        return self._with_wider_windows(model, moments, findings, rules, keep)

    def _groups(
        self, name: str, moments: Sequence[datetime], rules: Sequence[RuleConfig]
    ) -> dict[RuleGroup, list[RuleConfig]]:
        """The rules of a model, grouped by the profiles that they need."""
        calendar = self.config.model(name).detector.calendar
        groups: dict[RuleGroup, list[RuleConfig]] = {}
        for rule in rules:
            if rule.model in ("*", name):
                windows = tuple(window_of(rule, at, calendar) for at in moments)
                group = RuleGroup(rule.segment, rule.version, rule.against, windows)
                groups.setdefault(group, []).append(rule)
        return groups

    def _with_wider_windows(
        self,
        model: Model,
        moments: Sequence[datetime],
        findings: list[list[Finding]],
        rules: Sequence[RuleConfig],
        keep: bool,
    ) -> list[list[Finding]]:
        """The findings, those with too few rows from the shortest window with enough.

        Only of rules with `up_to`, and up to that length.
        """
        for rule in rules:
            length = 2 * rule.window
            if rule.up_to is None or length > rule.up_to:
                continue
            short = [
                i
                for i, of_moment in enumerate(findings)
                if any(f.rule == rule.name and _is_short(f) for f in of_moment)
            ]
            if not short:
                continue
            wider = rule.model_copy(update={"window": length})
            times = [moments[i] for i in short]
            of_wider = self.findings(model, times, [wider], keep)
            for i, wide_findings in zip(short, of_wider, strict=True):
                enough = {f.key: f for f in wide_findings if not _is_short(f)}
                findings[i] = [
                    enough.get(f.key, f) if _is_short(f) else f for f in findings[i]
                ]
        return findings

    def _compared_with(
        self, name: str, group: RuleGroup, columns: Sequence[str]
    ) -> dict[str, list[Profile]] | None:
        """The profiles that each window is compared with; None for the reference."""
        against, windows = group.against, group.windows
        if against == "reference":
            return None
        version = group.version
        if against.startswith("version:"):
            version = against.removeprefix("version:")
            return self._window_profiles(name, windows, columns, group.segment, version)
        if against == "previous":
            earlier = [[Window(w.start - (w.end - w.start), w.start) for w in windows]]
        else:
            earlier = []
            for week in range(1, REFERENCE_WEEKS + 1):
                step = timedelta(weeks=week)
                earlier.append([Window(w.start - step, w.end - step) for w in windows])
        reads = [
            self._window_profiles(name, shifted, columns, group.segment, version)
            for shifted in earlier
        ]
        compared = {}
        for column, profiles in reads[0].items():
            compared[column] = [
                merge([read[column][i] for read in reads], profiles[i].layout)
                for i in range(len(windows))
            ]
        return compared

    def _valid(self, name: str) -> Remembered:
        """The remembered findings of windows that received no row since.

        Windows of hours stay the same while minutes pass.
        """
        touched = self._touched.pop(name, None)
        remembered = self._remembered.setdefault(name, {})
        if touched is not None:
            for question, (window, _) in list(remembered.items()):
                if touched < window.end:
                    del remembered[question]
        return remembered

    def first_event(self, name: str) -> datetime | None:
        """The time of a model's first event, read once until an earlier one is received."""
        touched, first = self._touched.get(name), self._first.get(name)
        if first is None or (touched is not None and touched < first):
            first = self.store.first_event(name)
            if first is not None:
                self._first[name] = first
        return first

    def _window_profiles(
        self,
        name: str,
        windows: Sequence[Window],
        columns: Sequence[str],
        segment: str,
        version: str | None,
    ) -> dict[str, list[Profile]]:
        """The profiles of each window by column, from one read of small steps."""
        # days differ in length where clocks change
        lengths = [window.end - window.start for window in windows]
        gaps = [b.end - a.end for a, b in pairwise(windows)]
        minute = timedelta(minutes=1)
        step = math.gcd(*(gap // minute for gap in (*lengths, *gaps))) * minute
        start, end = min(window.start for window in windows), windows[-1].end
        if len(windows) > 1 and (end - start) // step * len(columns) > MAX_PROFILES:
            middle = len(windows) // 2
            first, last = (
                self._window_profiles(name, half, columns, segment, version)
                for half in (windows[:middle], windows[middle:])
            )
            return {column: first[column] + last[column] for column in first}
        read: Mapping[str, Sequence[Profile]] | None = None
        if len(windows) == 1 and version is None:
            read = self._read_ahead_of(name, segment, windows[0], columns)
        if read is None:
            read = self.store.profiles(
                name, start, end, step, version, segment, columns
            )
        ends = [(window.end - start) // step for window in windows]
        widths = [length // step for length in lengths]
        return {
            column: sliding(profiles, widths, ends) for column, profiles in read.items()
        }

    def _read_ahead_of(
        self, name: str, segment: str, window: Window, columns: Sequence[str]
    ) -> dict[str, list[Profile]] | None:
        """The profiles that `read_ahead` read, when it read all these columns."""
        ahead = self._ahead.get(name, {}).get((segment, window))
        if ahead is None or not ahead.keys() >= set(columns):
            return None
        return {column: [ahead[column]] for column in columns}


def _question(group: RuleGroup, rules: Sequence[RuleConfig]) -> Question:
    names = (f"{rule.name} {rule.window}" for rule in rules)
    return (group.segment, group.version or "", *names)


def _at(profiles: Mapping[str, Sequence[Profile]], place: int) -> dict[str, Profile]:
    return {column: of_windows[place] for column, of_windows in profiles.items()}


def _half_of(window: Window) -> timedelta:
    """Half the length of a window; a window is decided only if at least half has data."""
    return (window.end - window.start) / 2


def _undecided(finding: Finding) -> Finding:
    if finding.verdict in DECIDED:
        return replace(finding, verdict="insufficient")
    return finding


def _is_short(finding: Finding) -> bool:
    """True if a finding has too few rows; no rows at all are a finding of their own."""
    return finding.verdict == "insufficient"


def column_names(model: Model) -> Mapping[str, str]:
    """The own name of each column that drifts, by stored key.

    These are the features, the prediction and the reconstruction error.
    """
    names = {feature.field: feature.name for feature in model.schema.features}
    names["prediction"] = "prediction"
    if model.reconstruction is not None:
        names[RECONSTRUCTION_ERROR] = RECONSTRUCTION_ERROR
    return names
