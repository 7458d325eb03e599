"""How wrong the predictions were, by their labels, and what the labels are worth: how many, how late, a fair sample or not."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from monitor.config.config import Config
from monitor.finding import Finding
from monitor.layout import SECONDS
from monitor.plugins import statistics
from monitor.profile import Profile, merge
from monitor.queries.drift import rule_for
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

# of a PSI's lower bound, labelled predictions against all: then the labels are no fair
# sample
BIASED = 0.1
# of the prediction error, by the column that it is computed from
STATISTICS = {
    WRONG.column: wrong_share.NAME,
    ABSOLUTE_ERROR.column: mean_absolute_error.NAME,
}


def labelled_columns(model: Model) -> tuple[str, ...]:
    """What `prediction_error` is told from; nothing until the task is known."""
    column = quality_column(model)
    return (
        (column.column, LABEL_DELAY, LABELLED_PREDICTION, "prediction")
        if column
        else ()
    )


def prediction_error(
    store: Store,
    config: Config,
    name: str,
    span: TimeRange,
    profiles: Mapping[str, Sequence[Profile]],
    findings: Sequence[Finding],
) -> dict[str, Any] | None:
    """The error of a span with its interval and limit, its course, and what the labels are worth; None until the task is known.

    `profiles` are those of "status" and the `labelled_columns`, a list of one for each
    step of the span.
    """
    column = quality_column(store.model(name))
    if column is None:
        return None
    statistic = STATISTICS[column.column]
    steps = profiles[column.column]
    total = merge(steps, column.layout)
    rule = rule_for(config, name, statistic)
    measured = statistics()[statistic].measure(
        store.references.profiles(name).get(column.column), total
    )
    labelled = [t for t, p in zip(span.steps, steps, strict=False) if p.rows]
    predictions = sum(p.rows for p in profiles["status"])
    judged = [f.verdict for f in findings if f.statistic == statistic]
    return {
        "statistic": statistic,
        "value": measured.value,
        "low": measured.low,
        "high": measured.high,
        "n": measured.n,
        "reference": measured.reference_value,
        "limit": rule.limit,
        "status": judged[0] if judged else "no_data",
        "labels_until": min(labelled[-1] + span.step, span.until) if labelled else None,
        "coverage": total.rows / predictions if predictions else None,
        **_labels(profiles, span),
        "series": [
            {"t": t, "value": p.mean, "n": p.n}
            for t, p in zip(span.steps, steps, strict=False)
        ],
    }


def _labels(
    profiles: Mapping[str, Sequence[Profile]], span: TimeRange
) -> dict[str, Any]:
    """How long labels took, and whether labelled predictions are like the others of the steps whose labels have come."""
    delay = merge(profiles[LABEL_DELAY], SECONDS)
    half, most = delay.quantile(0.5), delay.quantile(0.95)
    bias = None
    if most is not None and LABELLED_PREDICTION in profiles:
        come = sum(
            at + span.step <= span.until - timedelta(seconds=most) for at in span.steps
        )
        some = {c: profiles[c][:come] for c in (LABELLED_PREDICTION, "prediction")}
        bias = label_bias(
            {c: merge(steps, steps[0].layout) for c, steps in some.items() if steps}
        )
    return {"delay_p50_s": half, "delay_p95_s": most, "label_bias": bias}


def label_bias(found: Mapping[str, Profile]) -> dict[str, Any] | None:
    """PSI of the labelled predictions against all, with its interval; None while they are few.

    Labels that come for some predictions only, as of loans that were granted, measure
    the error of those: when they are predicted otherwise than all, it is not the error
    of all. The interval takes both for samples of their own; as one is part of the
    other it is too wide, so nothing is said too early.
    """
    labelled, every = found.get(LABELLED_PREDICTION), found.get("prediction")
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
        "biased": bool(measured.low > BIASED),
    }
