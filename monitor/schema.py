"""The columns of a model: feature names (untrusted, stored as data) and their column keys."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

from monitor.event import (
    MAX_FEATURES,
    MAX_ID_BYTES,
    MAX_NAME,
    MAX_TEXT,
    Event,
    Refused,
    label_text,
)

# features with a column of their own; the others are packed in lists, as each column
# costs blocks and buffers wherever rows are copied
MAX_FEATURE_COLUMNS = 100
MAX_PACKED = 500  # features of one list
MAX_SHOWN_NAME = 40  # characters
# the reconstruction error of a row: the distance from its features to those rebuilt
# from each other
RECONSTRUCTION_ERROR = "reconstruction_error"
LABEL_DELAY = "label_delay_s"  # from a prediction to its label, in seconds
LABELLED_PREDICTION = "labelled_prediction"  # the prediction of rows with a label
# columns that have drift statistics, but are no features
NON_FEATURE_COLUMNS = frozenset({"prediction", RECONSTRUCTION_ERROR})
FeatureKind = Literal["numeric", "categorical"]
PredictionKind = Literal["number", "class", "probabilities", "unknown"]


@dataclass(frozen=True)
class Feature:
    """One feature of a model.

    `name` is its own name, `field` its key in rows and profiles.
    """

    name: str
    field: str
    kind: FeatureKind


class Place(NamedTuple):
    """The place of a packed feature: a list column of the events table, an element from 1."""

    column: str
    element: int


@dataclass(frozen=True)
class FeatureAllowance:
    """The number of features that a model may still get, and the reason of the limit."""

    features: int = MAX_FEATURES
    reason: str = f"a model has at most {MAX_FEATURES}"

    def refusal(self, name: str) -> str:
        """Return the reason to refuse a row with the new feature `name`."""
        shown = name[:MAX_SHOWN_NAME]
        return f"`features.{shown}` is one new feature too many: {self.reason}"


@dataclass(frozen=True)
class ModelSchema:
    """The columns of one model at one time; a schema only ever grows."""

    model: str
    features: tuple[Feature, ...] = ()
    prediction: PredictionKind = "unknown"

    @cached_property
    def by_name(self) -> dict[str, Feature]:
        """The features by their own name."""
        return {feature.name: feature for feature in self.features}

    @cached_property
    def places(self) -> dict[str, Place]:
        """The places of the packed features, by key; growth moves none of them."""
        packed = [f for f in self.features if f.field.startswith("w_")]
        sizes: Counter[str] = Counter()
        places = {}
        for i, feature in enumerate(packed):
            values = "numbers" if feature.kind == "numeric" else "texts"
            column = f"{values}_{i // MAX_PACKED + 1:02d}"
            sizes[column] += 1
            places[feature.field] = Place(column, sizes[column])
        return places

    @cached_property
    def plain(self) -> bool:
        """True when a raw line can be decoded and loaded as it is.

        No name has a quote or control character, and no two differ only in case.
        """
        names = [feature.name for feature in self.features]
        if any(c in '"\\' or c < " " for name in names for c in name):
            return False
        return len({name.casefold() for name in names}) == len(names)

    @cached_property
    def decoder(self) -> msgspec.json.Decoder[Any]:
        """A decoder at C speed of lines that fit this schema; it fails on any other."""
        features = msgspec.defstruct(
            "Features",
            [(f.field, _VALUES[f.kind], None) for f in self.features],
            rename={f.field: f.name for f in self.features},
            forbid_unknown_fields=True,
            gc=False,
        )
        event = msgspec.defstruct(
            "Event",
            [
                ("event_id", _EVENT_ID),
                ("model", Literal[self.model]),
                ("ts", Annotated[datetime, msgspec.Meta(tz=True)]),
                ("version", Annotated[str, msgspec.Meta(max_length=MAX_NAME)], ""),
                ("features", features, None),
                ("prediction", _PREDICTIONS[self.prediction], None),
                ("latency_ms", _LATENCY | None, None),
                ("status", Annotated[int, msgspec.Meta(ge=0, le=999)], 200),
                ("error", _TEXT | None, None),
                ("tags", dict[str, str] | None, None),
            ],
            forbid_unknown_fields=True,
            gc=False,
        )
        return msgspec.json.Decoder(event)

    def with_events(self, events: Iterable[Event]) -> "ModelSchema":
        """Return this schema with the new columns of events; itself when there are none."""
        return self.admit(list(events), FeatureAllowance())[0]

    def admit(
        self, events: Sequence[Event], allowance: FeatureAllowance
    ) -> tuple["ModelSchema", dict[int, str]]:
        """Return this schema with the new columns of events, as far as they are allowed.

        The second value has, by place, the reason to refuse an event that has too many
        new names. Events before it stay, and so do those after it without new names.
        """
        refused: dict[int, str] = {}
        kinds: dict[str, FeatureKind] = {}
        prediction = self.prediction
        for place, event in enumerate(events):
            new = {
                name: value
                for name, value in event.features.items()
                if value is not None and name not in self.by_name and name not in kinds
            }
            left = allowance.features - len(kinds)
            if len(new) > left:
                first = list(new)[max(0, left)]
                refused[place] = allowance.refusal(first)
                continue
            for name, value in new.items():
                categorical = isinstance(value, str | bool)
                kinds[name] = "categorical" if categorical else "numeric"
            if prediction == "unknown" and event.prediction is not None:
                prediction = prediction_kind(event.prediction)
        return self.extended(kinds, prediction), refused

    def extended(
        self, kinds: Mapping[str, FeatureKind], prediction: PredictionKind = "unknown"
    ) -> "ModelSchema":
        """Return this schema with further features; itself when there are none.

        Raises Refused when there would be too many.
        """
        kinds = {name: kind for name, kind in kinds.items() if name not in self.by_name}
        prediction = prediction if self.prediction == "unknown" else self.prediction
        if not kinds and prediction == self.prediction:
            return self
        if len(self.features) + len(kinds) > MAX_FEATURES:
            raise Refused(
                f"model {self.model!r} would have more than {MAX_FEATURES} features"
            )
        new = [
            Feature(name, _column_key(number), kind)
            for number, (name, kind) in enumerate(kinds.items(), len(self.features) + 1)
        ]
        return replace(self, features=(*self.features, *new), prediction=prediction)

    def to_dict(self, since: int = 0) -> dict[str, Any]:
        """Return plain data for the spool, with the features from number `since` (from 0)."""
        features = [[f.name, f.field, f.kind] for f in self.features[since:]]
        return {
            "model": self.model,
            "prediction": self.prediction,
            "since": since,
            "features": features,
        }

    def updated(self, data: Mapping[str, Any]) -> "ModelSchema":
        """Return this schema grown to a later one's `to_dict`; never smaller than it is."""
        since = data.get("since", 0)
        later = [Feature(*feature) for feature in data["features"]]
        features = (*self.features[:since], *later)
        prediction = self.prediction
        if prediction == "unknown":
            prediction = data["prediction"]
        longest = max(self.features, features, key=len)
        return replace(self, features=longest, prediction=prediction)


def _column_key(number: int) -> str:
    letter = "f" if number <= MAX_FEATURE_COLUMNS else "w"
    return f"{letter}_{number:04d}"


_EVENT_ID = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ID_BYTES)]
_TEXT = Annotated[str, msgspec.Meta(max_length=MAX_TEXT)]
_LATENCY = Annotated[float, msgspec.Meta(ge=0, lt=1e12)]
_VALUES: dict[FeatureKind, Any] = {
    "numeric": float | None,
    "categorical": _TEXT | bool | None,
}
# an object needs its highest class found, an unknown kind needs a decision: neither
# can be decoded as it is
_PREDICTIONS: dict[PredictionKind, Any] = {
    "number": Annotated[float, msgspec.Meta(gt=-1e300, lt=1e300)] | None,
    "class": Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_TEXT)] | None,
    "probabilities": None,
    "unknown": None,
}


def prediction_kind(value: float | str | dict[str, float]) -> PredictionKind:
    """Return the kind of a model's predictions, by one of them."""
    if isinstance(value, dict):
        return "probabilities"
    return "class" if isinstance(value, str) else "number"


def split_prediction(
    value: float | str | dict[str, float] | None, kind: PredictionKind
) -> tuple[float | None, str | None]:
    """Return a prediction as it is stored: (number, class).

    The number of two classes is the probability of the last by name, of others the
    highest one. Raises Refused when the value is of another kind than the model's
    earlier predictions.
    """
    if value is None:
        return None, None
    if isinstance(value, dict):
        return _split_probabilities(value, kind)
    if kind == "class":
        return None, label_text(value)
    if kind == "probabilities":
        raise Refused(
            "`prediction` must be an object of class: probability, "
            "as in this model's earlier events"
        )
    if isinstance(value, str):
        raise Refused(
            f"`prediction` is the text {value[:MAX_SHOWN_NAME]!r}; "
            "this model's predictions are numbers"
        )
    return value, None


def _split_probabilities(
    value: dict[str, float], kind: PredictionKind
) -> tuple[float, str]:
    if kind != "probabilities":
        raise Refused(
            f"`prediction` is an object; this model's predictions are of kind {kind}"
        )
    best = max(sorted(value), key=value.__getitem__)
    return value[max(value) if len(value) == 2 else best], best
