"""The flights and the model, loaded and trained once for all tests of the demo (about ten seconds)."""

from datetime import date

import pytest

from monitor.demo import delay_model, flights


@pytest.fixture(scope="session")
def found():
    return flights.load(date(2026, 11, 22))


@pytest.fixture(scope="session")
def model(found):
    return delay_model.train(found.reference)
