"""The profiled columns of a model: service, features, prediction, errors against labels."""

from collections.abc import Mapping, Sequence

from monitor.contracts import DerivedColumn, ProfileColumn
from monitor.layout import INTEGER, LOG, SECONDS, ZERO_ONE, Layout
from monitor.reconstruction import Errors
from monitor.schema import (
    LABEL_DELAY,
    LABELLED_PREDICTION,
    RECONSTRUCTION_ERROR,
    Feature,
)
from monitor.store.model import Model
from monitor.store.rows.model_tables import BASE_COLUMNS
from monitor.store.rows.wide_rows import Relation

SERVICE = (
    ProfileColumn("latency_ms", "latency_ms", LOG, "minute"),
    ProfileColumn("status", "status", INTEGER, "minute"),
)
WRONG = ProfileColumn("wrong", "wrong", ZERO_ONE, extremes=False)
ABSOLUTE_ERROR = ProfileColumn("absolute_error", "absolute_error", LOG, extremes=False)
DELAY = ProfileColumn(LABEL_DELAY, LABEL_DELAY, SECONDS, extremes=False)
DECISION_THRESHOLD = 0.5

Layouts = Mapping[str, Layout]


def prediction_field(model: Model) -> str:
    """Return the column of the events table with the prediction whose drift is measured."""
    return "predicted_class" if model.schema.prediction == "class" else "prediction"


def data_columns(model: Model, layouts: Layouts) -> list[ProfileColumn]:
    """Return the features, the prediction and the reconstruction error that have a layout."""
    sources: dict[str, str | DerivedColumn] = {
        feature.field: feature.field for feature in model.schema.features
    }
    sources["prediction"] = prediction_field(model)
    if model.reconstruction is not None:
        sources[RECONSTRUCTION_ERROR] = Errors(model.reconstruction, layouts)
    return [
        ProfileColumn(column, source, layouts[column])
        for column, source in sources.items()
        if column in layouts
    ]


def quality_column(model: Model) -> ProfileColumn | None:
    """Return the derived column with a prediction's error; None for an unknown task."""
    if model.task == "regression":
        return ABSOLUTE_ERROR
    return WRONG if model.task in ("binary", "classification") else None


def labelled_columns(model: Model, layouts: Layouts) -> list[ProfileColumn]:
    """Return the columns of predictions with a label; none for an unknown task.

    They are the error, the label delay, and the prediction itself, so that labelled
    predictions can be compared with all of them.
    """
    quality = quality_column(model)
    if quality is None:
        return []
    columns = [quality, DELAY]
    layout = layouts.get("prediction")
    if layout is not None:
        source = prediction_field(model)
        columns.append(ProfileColumn(LABELLED_PREDICTION, source, layout))
    return columns


def error_columns(model: Model) -> str:
    """Return SQL for `wrong` and `absolute_error` of rows with label and prediction.

    The rows have the columns label, number, prediction and predicted_class.
    """
    if model.schema.prediction == "number":
        comparable = "prediction IS NOT NULL AND number IS NOT NULL"
        same = "prediction = number"
        if model.task == "binary":
            limit = DECISION_THRESHOLD
            same = f"(prediction >= {limit}) = (number >= {limit})"
    else:
        comparable = "predicted_class IS NOT NULL"
        same = "predicted_class = label"
    wrong = f"CASE WHEN {same} THEN 0.0 ELSE 1.0 END"
    return (
        f"CASE WHEN {comparable} THEN {wrong} END::DOUBLE AS wrong, "
        "abs(number - prediction)::DOUBLE AS absolute_error"
    )


def segment_features(model: Model, names: Sequence[str]) -> list[Feature]:
    """Return those of the configured features that make segments of this model."""
    features = [model.schema.by_name.get(name) for name in names]
    return [f for f in features if f is not None and f.kind == "categorical"]


def labelled_fields(model: Model, segments: Sequence[str]) -> list[str]:
    """Return the fields of an event that are needed once its label is there."""
    features = segment_features(model, segments)
    return [name for name, _ in BASE_COLUMNS] + [feature.field for feature in features]


def select_labelled(model: Model, segments: Sequence[str]) -> str:
    """Return SQL for `labelled_fields` of stored events."""
    base = ", ".join(name for name, _ in BASE_COLUMNS)
    fields = [feature.field for feature in segment_features(model, segments)]
    return base + Relation("", model.schema).values(fields)
