"""The model is honest about its quality, and the files of its past hold what was really predicted and measured."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import roc_auc_score

from monitor.demo import delay_model, history, settings
from monitor.demo.flights import FEATURES

NOW = datetime(2026, 4, 15, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def written(found, model, tmp_path_factory):
    shares = []
    folder = tmp_path_factory.mktemp("history")
    return history.write(
        folder, found.reference, found.current, model, NOW, shares.append
    ), shares


def test_reference_predictions_are_held_out(found, model):
    known = found.reference["label"].notna()
    truth = found.reference["label"][known].astype(bool)
    held_out = roc_auc_score(truth, model.held_out[known])
    in_sample = roc_auc_score(truth, model.predict(found.reference[known]))
    assert 0.65 < held_out < 0.75
    assert in_sample > held_out + 0.03
    assert np.isfinite(model.held_out).all()


def test_importance_names_every_feature_and_sums_to_1(model):
    assert list(model.importance) == FEATURES
    assert sum(model.importance.values()) == pytest.approx(1.0, abs=1e-9)
    assert min(model.importance.values()) >= 0


@pytest.mark.slow
def test_training_again_gives_the_same_model(found):
    rows = found.reference.tail(4_000)
    first, second = delay_model.train(rows), delay_model.train(rows)
    assert np.array_equal(first.held_out, second.held_out)
    assert first.importance == second.importance and first.version == "2026-02"


def test_category_never_seen_is_predicted_like_a_missing_one(found, model):
    row = found.current.head(1)
    unseen, missing = (
        model.predict(row.assign(carrier=value))[0] for value in ("ZZ", np.nan)
    )
    assert unseen == missing


def test_files_hold_the_past_only(written, found):
    past, _ = written
    events = pd.concat(
        [pd.read_parquet(path) for path in past.events], ignore_index=True
    )
    assert len(events) == past.event_rows == (found.current["ts"] <= NOW).sum()
    assert list(events.columns) == [
        "event_id",
        "ts",
        *FEATURES,
        "prediction",
        "latency_ms",
    ]
    assert [path.name for path in past.events] == [
        f"events-2026-0{month}.parquet" for month in (2, 3, 4)
    ]
    labels = pd.read_parquet(past.labels)
    assert len(labels) == past.label_rows and labels["ts"].max() <= NOW
    assert set(labels["event_id"]) <= set(events["event_id"])


def test_predictions_in_the_files_are_the_models(written, found, model):
    past, _ = written
    events = pd.read_parquet(past.events[0])
    expected = model.predict(found.current.head(len(events)))
    assert np.allclose(events["prediction"], expected, atol=1e-6)


def test_latency_is_one_measured_time_per_day(written):
    past, shares = written
    events = pd.read_parquet(past.events[1])
    per_day = events.groupby(events["ts"].dt.floor("D"))["latency_ms"].nunique()
    assert (per_day == 1).all() and (events["latency_ms"] > 0).all()
    assert events["latency_ms"].nunique() > 20
    assert shares == sorted(shares) and shares[-1] == 1.0


def test_missing_values_are_null_in_the_files_not_nan(written):
    past, _ = written
    column = pq.read_table(past.events[0])["pressure"]
    assert column.null_count > 0
    assert not np.isnan(column.drop_null().to_numpy()).any()


def test_live_schedule_mixes_the_coming_flights_with_the_last_week(found):
    now = datetime(2026, 11, 22, 20, tzinfo=UTC)
    first, second = (
        history.live_schedule(found.current, now, seed=1) for _ in range(2)
    )
    pd.testing.assert_frame_equal(first, second)
    assert (first["ts"] > now).any() and first["ts"].min() > now - timedelta(days=7)
    assert first.head(200)["hour"].nunique() > 12


def test_settings_are_readable_toml(model):
    import tomllib

    text = (
        settings.webhook_channel("http://127.0.0.1:1/hook", "whsec_x")
        + "\n"
        + settings.model_settings(model.importance)
    )
    read = tomllib.loads(text)
    assert read["channels"] == [
        {
            "name": "demo",
            "type": "webhook",
            "url": "http://127.0.0.1:1/hook",
            "secret": "whsec_x",
        }
    ]
    assert read["models"]["flight-delay"] == {
        "task": "binary",
        "importance": model.importance,
    }
