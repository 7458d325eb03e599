"""Prediction error by labels, and the labels themselves: coverage, delay, bias."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from monitor.config.config import Config
from monitor.finding import Finding
from monitor.layout import SECONDS
from monitor.plugins import statistics
from monitor.profile import Profile, merge
from monitor.queries.figures.model_rules import rule_for
from monitor.queries.figures.selection import Selection
from monitor.queries.shares import share_of
from monitor.queries.time_range import TimeRange
from monitor.schema import LABEL_DELAY, LABELLED_PREDICTION
from monitor.statistics.drift import psi
from monitor.statistics.model_quality import mean_absolute_error, wrong_share
from monitor.store import Store
from monitor.store.model import Model
from monitor.store.profiles.profiled_columns import (
    ABSOLUTE_ERROR,
    WRONG,
    quality_column,
)

# Lower bound of the PSI of labelled against all predictions; beyond it the labels are
# a biased sample.
MAX_LABEL_BIAS = 0.1
# quality metric by the column that it is computed from
METRICS = {
    WRONG.column: wrong_share.NAME,
    ABSOLUTE_ERROR.column: mean_absolute_error.NAME,
}


def labelled_columns(model: Model) -> tuple[str, ...]:
    """Return the columns that `prediction_error` needs; none until the task is known."""
    column = quality_column(model)
    if column is None:
        return ()
    return column.column, LABEL_DELAY, LABELLED_PREDICTION, "prediction"


def prediction_error(
    store: Store,
    config: Config,
    selection: Selection,
    profiles: Mapping[str, Sequence[Profile]],
    findings: Sequence[Finding],
) -> dict[str, Any] | None:
    """Return the prediction error with its interval, limit, trend and labels.

    `profiles` has one profile for each step of the selection, for "status" and the
    `labelled_columns`. None until the task is known.
    """
    column = quality_column(store.model(selection.model))
    if column is None:
        return None
    time_range = selection.time_range
    metric = METRICS[column.column]
    steps = profiles[column.column]
    total = merge(steps, column.layout)
    reference = store.references.profiles(selection.model).get(column.column)
    measured = statistics()[metric].measure(reference, total)
    verdicts = [finding.verdict for finding in findings if finding.statistic == metric]
    predictions = sum(profile.rows for profile in profiles["status"])
    return {
        "statistic": metric,
        "value": measured.value,
        "low": measured.low,
        "high": measured.high,
        "n": measured.n,
        "reference": measured.reference_value,
        "limit": rule_for(config, selection.model, metric).limit,
        "status": verdicts[0] if verdicts else "no_data",
        "labels_until": _labels_until(time_range, steps),
        "coverage": share_of(total.rows, predictions),
        **_label_figures(profiles, time_range),
        "series": [
            {"t": at, "value": profile.mean, "n": profile.n}
            for at, profile in zip(time_range.steps, steps, strict=False)
        ],
    }


def _labels_until(time_range: TimeRange, steps: Sequence[Profile]) -> Any:
    """Return the end of the newest step with labels; None without labels."""
    labelled = [
        at for at, profile in zip(time_range.steps, steps, strict=False) if profile.rows
    ]
    if not labelled:
        return None
    return min(labelled[-1] + time_range.step, time_range.requested_end)


def _label_figures(
    profiles: Mapping[str, Sequence[Profile]], time_range: TimeRange
) -> dict[str, Any]:
    """Return the label delay and the label bias.

    The bias is that of the steps whose labels have arrived, going by the delay.
    """
    delay = merge(profiles[LABEL_DELAY], SECONDS)
    p50, p95 = delay.quantile(0.5), delay.quantile(0.95)
    bias = None
    if p95 is not None and LABELLED_PREDICTION in profiles:
        labels_complete_until = time_range.requested_end - timedelta(seconds=p95)
        complete = sum(
            at + time_range.step <= labels_complete_until for at in time_range.steps
        )
        totals = {}
        for column in (LABELLED_PREDICTION, "prediction"):
            steps = profiles[column][:complete]
            if steps:
                totals[column] = merge(steps, steps[0].layout)
        bias = label_bias(totals)
    return {"delay_p50_s": p50, "delay_p95_s": p95, "label_bias": bias}


def label_bias(profiles: Mapping[str, Profile]) -> dict[str, Any] | None:
    """Return the PSI of the labelled predictions against all, with its interval.

    None while labels are few. Labels that arrive for some predictions only, such as
    granted loans, measure the error of those. If these predictions are distributed
    differently, it is not the error of all. The interval treats both as separate
    samples; as one is part of the other it is too wide, so bias is reported late rather
    than falsely.
    """
    labelled, every = profiles.get(LABELLED_PREDICTION), profiles.get("prediction")
    if labelled is None or every is None or labelled.n < psi.MINIMUM:
        return None
    measured = psi.measure(every, labelled)
    if measured.value is None or measured.low is None:
        return None
    return {
        "value": measured.value,
        "low": measured.low,
        "high": measured.high,
        "n": labelled.n,
        "n_all": every.n,
        "biased": bool(measured.low > MAX_LABEL_BIAS),
    }
