"""One stream through the detector and through every tool: the scores of a quarter without drift, or after a change."""

import json
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.detection.peers.children import scores_of
from benchmarks.detection.peers.draw import rows_of, write
from benchmarks.detection.peers.tables import Key
from benchmarks.detection.runs import (
    WORLDS,
    LaneRun,
    changed,
    changed_courses,
    holiday_order,
    merged,
    quiet,
    quiet_courses,
)
from benchmarks.detection.world import World

BASE = "about 1,000 rows an hour, seasonal, AR(1)"
DELAYS = 2000  # their seeds come so far after the first
# how long is looked at hour by hour: a tool needs 0.1 s for a window
QUIET_HOURS, DELAY_HOURS = 336, 120
RULES = {
    "evidently": ("evidently any", "evidently half", "evidently psi"),
    "nannyml": ("nannyml drift", "nannyml drift or missing"),
    "alibi-detect": ("alibi",),
    "scipy": ("scipy bonferroni", "scipy"),
}


@dataclass(frozen=True)
class Plan:
    """The tools, where their environments are, the first seed, and of how many models the first world and the changes are
    also looked at hour by hour."""

    tools: tuple[str, ...]
    environments: Path
    hourly: int
    seed: int
    # where the answers about each stream are kept, so that a run that was ended goes on
    kept: Path | None = None

    def widths(self, seed: int) -> tuple[int, ...]:
        """The windows that the model of a seed is looked at in."""
        return (24, 1) if (seed - self.seed) % DELAYS < self.hourly else (24,)


def scored_quiet(
    plan: Plan, world: str, seed: int
) -> tuple[int, dict[Key, list[float]]]:
    """Pages of the detector, and every tool's scores, over a quarter without drift."""
    return _kept(
        plan,
        f"{world} {seed} {plan.widths(seed)}",
        partial(_scored_quiet, plan, world, seed),
    )


def _scored_quiet(
    plan: Plan, world: str, seed: int
) -> tuple[int, dict[Key, list[float]]]:
    drawn = quiet_courses(world, seed)
    order = holiday_order(drawn[2][0]) if WORLDS[world].holidays else None
    scores = {}
    with tempfile.TemporaryDirectory(prefix="driftdeck-peers-") as folder:
        _write(Path(folder), seed, *drawn, order)
        for tool in plan.tools:
            for width in plan.widths(seed) if world == BASE else (24,):
                most = 9999 if width == 24 else QUIET_HOURS
                said = scores_of(
                    tool,
                    plan.environments,
                    folder=Path(folder),
                    width=width,
                    first=0,
                    most=most,
                    limits=None,
                )
                scores |= {(rule, width): series for rule, series in said.items()}
    print(f"{world}, seed {seed}", file=sys.stderr, flush=True)
    return len(merged(quiet(world, seed).pages)), scores


def scored_change(
    plan: Plan, limits: Mapping[Key, float], change: str, seed: int
) -> tuple[int | None, dict[Key, tuple[int, int, list[float]]]]:
    """Return the detector's delay, and every tool's scores until it is above its limit."""
    name = f"{change} {seed} {plan.widths(seed)} {sorted(limits.items())}"
    return _kept(plan, name, partial(_scored_change, plan, limits, change, seed))


def _scored_change(
    plan: Plan, limits: Mapping[Key, float], change: str, seed: int
) -> tuple[int | None, dict[Key, tuple[int, int, list[float]]]]:
    *drawn, at = changed_courses(change, seed)
    scores = {}
    with tempfile.TemporaryDirectory(prefix="driftdeck-peers-") as folder:
        _write(Path(folder), seed, *drawn, None)
        for tool in plan.tools:
            for width in plan.widths(seed):
                own = {
                    rule: limit
                    for (rule, w), limit in limits.items()
                    if w == width and rule in RULES[tool]
                }
                first, most = at // width, 9999 if width == 24 else DELAY_HOURS
                said = scores_of(
                    tool,
                    plan.environments,
                    folder=Path(folder),
                    width=width,
                    first=first,
                    most=most,
                    limits=own,
                )
                scores |= {
                    (rule, width): (at, first, series) for rule, series in said.items()
                }
    print(f"{change}, seed {seed}", file=sys.stderr, flush=True)
    at, outcome = changed(change, seed)
    return next((p - at + 1 for p in outcome.pages if p >= at), None), scores


def _kept(
    plan: Plan, name: str, compute: Callable[[], tuple[Any, dict[Key, Any]]]
) -> tuple[Any, dict[Key, Any]]:
    """Return the stored scores of the stream, or compute and store them."""
    if plan.kept is None:
        return compute()
    file = (
        plan.kept / f"{sha256(f'{name} {plan.tools}'.encode()).hexdigest()[:20]}.json"
    )
    if not file.exists():
        ours, scores = compute()
        file.write_text(
            json.dumps([name, ours, [[*key, found] for key, found in scores.items()]])
        )
    _, ours, scores = json.loads(file.read_text())
    return ours, {(rule, width): found for rule, width, found in scores}


def _write(
    folder: Path,
    seed: int,
    world: World,
    reference: LaneRun,
    watched: LaneRun,
    order: Sequence[int] | None,
) -> None:
    rng = np.random.default_rng([seed, 1])
    write(folder, "reference", rows_of(rng, world, *reference))
    write(folder, "watched", rows_of(rng, world, *watched), order)
