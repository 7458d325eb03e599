"""More than the loader can take, from many producers: refusals that say when to come again, no growth, nothing lost."""

import os
from pathlib import Path

import pytest

from benchmarks.burst import GOAL_MIB, flood

NIGHTLY = bool(os.environ.get("DRIFTDECK_NIGHTLY"))


@pytest.mark.timeout(900)
@pytest.mark.parametrize("features", [20, pytest.param(300, marks=pytest.mark.slow)])
def test_a_loader_that_cannot_keep_up_refuses_and_does_not_grow(
    tmp_path: Path, features: int
) -> None:
    found = flood(
        tmp_path / "burst", 60 if NIGHTLY else 4, 64 if NIGHTLY else 20, features
    )
    assert found.refusals > 0  # it was too much, or this shows nothing
    assert found.unsaid == 0  # every refusal says when to come again
    assert set(found.statuses) <= {"200", "429", "503", "0"}
    assert found.accounting["stored"] == found.accounting["received"] == found.accepted
    assert (
        found.accounting["duplicate"]
        == found.accounting["refused"]
        == found.accounting["pending"]
        == 0
    )
    assert found.peak_mib < GOAL_MIB
