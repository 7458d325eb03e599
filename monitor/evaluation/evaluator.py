"""Rules on what is stored: which windows close at a moment, their profiles, and what the rules find in them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
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

JUDGED = ("ok", "warn", "breach")
MAX_PROFILES = 300_000  # of one read: its steps for each of its columns
WEEKS = 4  # before a window, whose same hours together are a rolling reference


class RuleEvaluator:
    """Evaluates rules on the stored profiles of models, and remembers what it found in windows that no row has come into."""

    def __init__(self, store: Store, config: Config) -> None:
        self.store, self.config = store, config
        # the earliest row that came since a model's findings were kept
        self._touched: dict[str, datetime] = {}
        self._judged: dict[
            str, dict[tuple[str, ...], tuple[Window, list[Finding]]]
        ] = {}
        self._first: dict[str, datetime] = {}
        self._ahead: dict[str, dict[tuple[str, Window], dict[str, Profile]]] = {}

    def note_rows(self, model: str, earliest: datetime) -> None:
        """Rows came: what was found in windows that may hold them no longer counts."""
        self._touched[model] = min(earliest, self._touched.get(model, earliest))
        self._ahead.pop(model, None)

    def forget(self, model: str) -> None:
        """A model's bins mean something else."""
        self._judged.pop(model, None)
        self._ahead.pop(model, None)

    def forget_first_events(self) -> None:
        """Rows were deleted: the first event of a model may be a later one."""
        self._first.clear()

    def ask_first_events(self, names: Sequence[str]) -> None:
        """Ask for the first events of many models at once, as far as they are not known."""
        unknown = [name for name in names if name not in self._first]
        if unknown:
            self._first |= self.store.first_events(unknown)

    def read_ahead(self, models: Sequence[Model], at: datetime) -> None:
        """Read the windows that close at a moment for many models together, for the next `findings` of that moment.

        Statements are the cost of a model of few columns: thousands of models need as
        many as one.
        """
        asked: dict[tuple[str, Window], dict[str, set[str]]] = {}
        for model in models:
            names, layouts = column_names(model), self.store.layouts(model.name)
            calendar = self.config.model(model.name).detector.calendar
            known = {
                (q[0], w)
                for q, (w, _) in self._judged.get(model.name, {}).items()
                if self._stands(model.name, w)
            }
            for rule in self.config.all_rules:
                window = window_of(rule, at, calendar)
                alike = (
                    rule.version is None
                    and rule.against == "reference"
                    and rule.model in ("*", model.name)
                )
                if alike and (rule.segment, window) not in known:
                    columns = asked.setdefault((rule.segment, window), {}).setdefault(
                        model.name, set()
                    )
                    columns.update(columns_of(rule, layouts, names))
        self._ahead = {model.name: {} for model in models}
        for (segment, window), columns_by_model in asked.items():
            found = self.store.profiles_of(
                columns_by_model, window.start, window.end, segment
            )
            for name, profiles in found.items():
                if name in self._ahead:  # else rows came meanwhile
                    self._ahead[name][segment, window] = profiles

    def _stands(self, name: str, window: Window) -> bool:
        """Whether no row came into a window since its findings were kept."""
        touched = self._touched.get(name)
        return touched is None or touched >= window.end

    def findings(
        self,
        model: Model,
        moments: Sequence[datetime],
        rules: Sequence[RuleConfig] | None = None,
        keep: bool | None = None,
    ) -> list[list[Finding]]:
        """Every rule on every column of a model, over the windows that close at each of the moments.

        Other `rules` than the configured ones are on trial: nothing of them is kept,
        unless `keep` says so.
        """
        keep = len(moments) == 1 and (rules is None if keep is None else keep)
        names = column_names(model)
        layouts = self.store.layouts(model.name)
        reference = self.store.references.profiles(model.name)
        first, calendar = (
            self.first_event(model.name),
            self.config.model(model.name).detector.calendar,
        )
        kept = self._kept(model.name) if keep else {}
        groups: dict[
            tuple[str, str | None, str, tuple[Window, ...]], list[RuleConfig]
        ] = {}
        for rule in self.config.all_rules if rules is None else rules:
            if rule.model in ("*", model.name):
                windows = tuple(window_of(rule, at, calendar) for at in moments)
                groups.setdefault(
                    (rule.segment, rule.version, rule.against, windows), []
                ).append(rule)
        findings: list[list[Finding]] = [[] for _ in moments]
        for (segment, version, against, windows), some in groups.items():
            question = (
                segment,
                version or "",
                *(f"{rule.name} {rule.window}" for rule in some),
            )
            earlier = kept.get(question)
            if earlier is not None and earlier[0] == windows[0]:
                findings[0] += earlier[1]  # the same rows in the same window
                continue
            columns = sorted(
                {c for rule in some for c in columns_of(rule, layouts, names)}
            )
            read = self._window_profiles(model.name, windows, columns, segment, version)
            compared = self._compared_with(
                against, model.name, windows, columns, segment, version
            )
            for i, window in enumerate(windows):
                current = {column: profiles[i] for column, profiles in read.items()}
                base = (
                    reference
                    if compared is None
                    else {column: profiles[i] for column, profiles in compared.items()}
                )
                found = evaluate_all(some, model.name, current, base, names, window)
                if (
                    first is not None
                    and first > window.start + (window.end - window.start) / 2
                ):
                    # one day's rows are no month: what a window means is known when
                    # half of it has been
                    found = [
                        replace(f, verdict="insufficient") if f.verdict in JUDGED else f
                        for f in found
                    ]
                findings[i] += found
                if keep:
                    kept[question] = window, found
            # of ten thousand columns they are not held beside the next ones
            del read, compared, current, base
        return self._grown(
            model,
            moments,
            findings,
            self.config.all_rules if rules is None else rules,
            keep,
        )

    def _grown(
        self,
        model: Model,
        moments: Sequence[datetime],
        findings: list[list[Finding]],
        rules: Sequence[RuleConfig],
        keep: bool,
    ) -> list[list[Finding]]:
        """The findings, where a rule may look further back for want of rows, of the shortest window that has enough."""
        for rule in rules:
            length = 2 * rule.window
            if rule.up_to is None or length > rule.up_to:
                continue
            short = [
                i
                for i, found in enumerate(findings)
                if any(f.rule == rule.name and _is_short(f) for f in found)
            ]
            if not short:
                continue
            wider = rule.model_copy(update={"window": length})
            found = self.findings(model, [moments[i] for i in short], [wider], keep)
            for i, of_wider in zip(short, found, strict=True):
                enough = {f.key: f for f in of_wider if not _is_short(f)}
                findings[i] = [
                    enough.get(f.key, f) if _is_short(f) else f for f in findings[i]
                ]
        return findings

    def _compared_with(
        self,
        against: str,
        name: str,
        windows: Sequence[Window],
        columns: Sequence[str],
        segment: str,
        version: str | None,
    ) -> dict[str, list[Profile]] | None:
        """For each window what it is held against, by column; None for the model's reference."""
        if against == "reference":
            return None
        if against.startswith("version:"):
            return self._window_profiles(
                name, windows, columns, segment, against.removeprefix("version:")
            )
        if against == "previous":
            earlier = [[Window(w.start - (w.end - w.start), w.start) for w in windows]]
        else:
            steps = [timedelta(weeks=k) for k in range(1, WEEKS + 1)]
            earlier = [
                [Window(w.start - step, w.end - step) for w in windows]
                for step in steps
            ]
        read = [
            self._window_profiles(name, some, columns, segment, version)
            for some in earlier
        ]
        return {
            c: [
                merge([r[c][i] for r in read], r0[i].layout)
                for i in range(len(windows))
            ]
            for c, r0 in read[0].items()
        }

    def _kept(self, name: str) -> dict[tuple[str, ...], tuple[Window, list[Finding]]]:
        """The findings of windows that no row has come into since: hours stand still while minutes pass."""
        touched = self._touched.pop(name, None)
        kept = self._judged.setdefault(name, {})
        if touched is not None:
            for question in [
                q for q, (window, _) in kept.items() if touched < window.end
            ]:
                del kept[question]
        return kept

    def first_event(self, name: str) -> datetime | None:
        """The time of a model's first event, asked once until an earlier one comes."""
        touched, known = self._touched.get(name), self._first.get(name)
        if known is None or (touched is not None and touched < known):
            known = self.store.first_event(name)
            if known is not None:
                self._first[name] = known
        return known

    def _window_profiles(
        self,
        name: str,
        windows: Sequence[Window],
        columns: Sequence[str],
        segment: str,
        version: str | None,
    ) -> dict[str, list[Profile]]:
        """The profiles of each window by column, from one read: its steps are added up and subtracted."""
        # days are not equally long where clocks change
        lengths = [window.end - window.start for window in windows]
        gaps = [b.end - a.end for a, b in pairwise(windows)]
        minute = timedelta(minutes=1)
        step = math.gcd(*(gap // minute for gap in (*lengths, *gaps))) * minute
        start, end = min(window.start for window in windows), windows[-1].end
        if len(windows) > 1 and (end - start) // step * len(columns) > MAX_PROFILES:
            middle = len(windows) // 2
            first = self._window_profiles(
                name, windows[:middle], columns, segment, version
            )
            last = self._window_profiles(
                name, windows[middle:], columns, segment, version
            )
            return {column: first[column] + last[column] for column in first}
        ahead = (
            self._ahead.get(name, {}).get((segment, windows[0]))
            if len(windows) == 1 and version is None
            else None
        )
        if ahead is not None and ahead.keys() >= set(columns):
            read: Mapping[str, Sequence[Profile]] = {
                column: [ahead[column]] for column in columns
            }
        else:
            read = self.store.profiles(
                name, start, end, step, version, segment, columns
            )
        ends = [(window.end - start) // step for window in windows]
        widths = [length // step for length in lengths]
        return {
            column: sliding(profiles, widths, ends) for column, profiles in read.items()
        }


def _is_short(finding: Finding) -> bool:
    """Whether a finding could not be judged for want of rows; silence is told as such, whatever came before it."""
    return finding.verdict == "insufficient"


def column_names(model: Model) -> Mapping[str, str]:
    """The own name of each column that drifts: features, the prediction and the reconstruction error, by stored key."""
    derived = (
        ("prediction",)
        if model.reconstruction is None
        else ("prediction", RECONSTRUCTION_ERROR)
    )
    return {f.field: f.name for f in model.schema.features} | {
        name: name for name in derived
    }
