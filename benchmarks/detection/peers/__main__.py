"""Other tools on the detector's streams: `python -m benchmarks.detection.peers --seed 96100 --models 4 --hourly 2`.

The seeds from `--seed` on are for the false pages at each tool's own limits, and in the
first world for raising the limits; those 2,000 later are for the delays.
"""

import argparse
import json
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from benchmarks.detection.peers.children import SCRIPTS
from benchmarks.detection.peers.environments import ONE_THREAD, python_of
from benchmarks.detection.peers.pages import lowest_limit
from benchmarks.detection.peers.streams import (
    BASE,
    DELAYS,
    RULES,
    Plan,
    scored_change,
    scored_quiet,
)
from benchmarks.detection.peers.tables import Key, delay_head, delay_row, quiet_table
from benchmarks.detection.runs import CHANGES

WATCHED_WORLDS = (
    BASE,
    "fat shocks (t3)",
    "two holidays that look like a Sunday, not in the calendar",
    "independent rows",
)


def main(argv: Sequence[str] | None = None) -> None:
    """Install what is missing, run every stream through every tool, print the tables."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.detection.peers", description=__doc__
    )
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--models", type=int, default=4)
    parser.add_argument(
        "--hourly",
        type=int,
        default=2,
        help="models that are also looked at hour by hour, two weeks in the first world and five days after changes",
    )
    parser.add_argument(
        "--tools", nargs="+", choices=list(SCRIPTS), default=list(SCRIPTS)
    )
    parser.add_argument(
        "--environments",
        type=Path,
        default=Path(tempfile.gettempdir()) / "driftdeck-peers",
    )
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument(
        "--worlds",
        nargs="*",
        help="parts of names of worlds, beside the first; all when left out",
    )
    parser.add_argument(
        "--changes", nargs="*", help="parts of names of changes; all when left out"
    )
    parser.add_argument(
        "--keep",
        type=Path,
        help="a folder for the answers about each stream: what is there is not asked again",
    )
    parser.add_argument("--json", type=Path, help="write every score to this file")
    given = parser.parse_args(argv)
    if given.keep:
        given.keep.mkdir(parents=True, exist_ok=True)
    given.environments.mkdir(parents=True, exist_ok=True)
    for tool in given.tools:
        python_of(tool, given.environments)
    os.environ.update(ONE_THREAD)
    plan = Plan(
        tuple(given.tools), given.environments, given.hourly, given.seed, given.keep
    )
    with ProcessPoolExecutor(given.processes, get_context("spawn")) as pool:
        _measure(
            pool,
            plan,
            given.models,
            _chosen(WATCHED_WORLDS, given.worlds),
            _chosen(CHANGES, given.changes),
            given.json,
        )


def _measure(
    pool: ProcessPoolExecutor,
    plan: Plan,
    models: int,
    worlds: Sequence[str],
    changes: Sequence[str],
    file: Path | None,
) -> None:
    seeds = range(plan.seed, plan.seed + models)
    ours, found = {}, {}
    for world in dict.fromkeys([BASE, *worlds]):
        outcomes = list(pool.map(partial(scored_quiet, plan, world), seeds))
        ours[world], found[world] = (
            [n for n, _ in outcomes],
            _by_key([s for _, s in outcomes]),
        )
    print(*quiet_table(ours, found), sep="\n", flush=True)
    allowed = sum(ours[BASE])
    limits = {
        key: lowest_limit(scores, allowed, key[1])
        for key, scores in found[BASE].items()
    }
    print(
        f"\nlimits raised until there are {allowed} pages in {models} quarters, as ours\n",
        flush=True,
    )
    # alibi-detect's p-values are float32 and 0 below 1e-45: its limit cannot be raised
    # far enough, scipy's can
    plan = replace(
        plan,
        tools=tuple(
            t for t in plan.tools if t != "alibi-detect" or "scipy" not in plan.tools
        ),
    )
    limits = {
        key: limit
        for key, limit in limits.items()
        if any(key[0] in RULES[tool] for tool in plan.tools)
    }
    print(*delay_head(limits), sep="\n", flush=True)
    waited, watched = {}, {}
    for change in changes:
        timed = list(
            pool.map(
                partial(scored_change, plan, limits, change),
                [s + DELAYS for s in seeds],
            )
        )
        waited[change], watched[change] = (
            [d for d, _ in timed],
            _by_key([s for _, s in timed]),
        )
        print(delay_row(change, waited[change], watched[change], limits), flush=True)
    if file:
        said = {
            "ours": ours,
            "quiet": found,
            "limits": limits,
            "delays": waited,
            "changed": watched,
        }
        file.write_text(json.dumps(_plain(said)))


def _chosen(names: Iterable[str], parts: Sequence[str] | None) -> list[str]:
    return [n for n in names if parts is None or any(part in n for part in parts)]


def _by_key(models: Sequence[Mapping[Key, object]]) -> dict[Key, list]:
    return {
        key: [m[key] for m in models if key in m]
        for key in {k for m in models for k in m}
    }


def _plain(value: object) -> object:
    if isinstance(value, dict):
        return {
            str(k) if isinstance(k, str) else "|".join(map(str, k)): _plain(v)
            for k, v in value.items()
        }
    return value


if __name__ == "__main__":
    main()
