"""Which columns a model has: feature names (untrusted, kept as data) to internal column ids."""

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

# features of a model with a column of their own; a column costs blocks and buffers
# wherever it goes
MAX_FEATURE_COLUMNS = 100
# the column that says how badly features are rebuilt from each other
RECONSTRUCTION_ERROR = "reconstruction_error"
LABEL_DELAY = "label_delay_s"  # from a prediction to its label, in seconds
# the prediction, of those alone that have a label
LABELLED_PREDICTION = "labelled_prediction"
# columns that drift and are no features
NO_FEATURES = frozenset({"prediction", RECONSTRUCTION_ERROR})
MAX_PACKED = 500  # of the others in one list
FeatureKind = Literal["numeric", "categorical"]
PredictionKind = Literal["number", "class", "probabilities", "unknown"]


@dataclass(frozen=True)
class Feature:
    """One feature of a model: its own name, its key (that of its column in rows and profiles), and what it holds."""

    name: str
    field: str
    kind: FeatureKind


class Place(NamedTuple):
    """Where a packed feature is stored: a list column of the events table, and which of its elements, from 1."""

    column: str
    element: int


@dataclass(frozen=True)
class Room:
    """How many features a model may still get, and what to do when they are not enough."""

    features: int = MAX_FEATURES
    reason: str = f"a model has at most {MAX_FEATURES}"

    def refusal(self, name: str) -> str:
        """Why a row with the new feature `name` is refused."""
        return f"`features.{name[:40]}` is one new feature too many: {self.reason}"


@dataclass(frozen=True)
class ModelSchema:
    """The columns of one model at one moment; it only ever grows."""

    model: str
    features: tuple[Feature, ...] = ()
    prediction: PredictionKind = "unknown"

    @cached_property
    def by_name(self) -> dict[str, Feature]:
        """Features by their own name."""
        return {f.name: f for f in self.features}

    @cached_property
    def places(self) -> dict[str, Place]:
        """Where the packed features are, by key; a schema that grows moves none of them."""
        sizes: Counter[str] = Counter()
        places = {}
        for i, feature in enumerate(
            f for f in self.features if f.field.startswith("w_")
        ):
            column = f"{'numbers' if feature.kind == 'numeric' else 'texts'}_{i // MAX_PACKED + 1:02d}"
            sizes[column] += 1
            places[feature.field] = Place(column, sizes[column])
        return places

    @cached_property
    def plain(self) -> bool:
        """True when a raw line can be decoded and loaded as it is: no quotes in names, no two differ only in case."""
        awkward = any(c in '"\\' or c < " " for f in self.features for c in f.name)
        return not awkward and len({f.name.casefold() for f in self.features}) == len(
            self.features
        )

    @cached_property
    def decoder(self) -> msgspec.json.Decoder[Any]:
        """Decodes a line that fits this schema at C speed and fails on every other line."""
        kinds = {
            "numeric": float | None,
            "categorical": Annotated[str, msgspec.Meta(max_length=MAX_TEXT)]
            | bool
            | None,
        }
        features = msgspec.defstruct(
            "Features",
            [(f.field, kinds[f.kind], None) for f in self.features],
            rename={f.field: f.name for f in self.features},
            forbid_unknown_fields=True,
            gc=False,
        )
        name = Annotated[str, msgspec.Meta(max_length=MAX_NAME)]
        return msgspec.json.Decoder(
            msgspec.defstruct(
                "Event",
                [
                    (
                        "event_id",
                        Annotated[
                            str, msgspec.Meta(min_length=1, max_length=MAX_ID_BYTES)
                        ],
                    ),
                    ("model", Literal[self.model]),
                    ("ts", Annotated[datetime, msgspec.Meta(tz=True)]),
                    ("version", name, ""),
                    ("features", features, None),
                    ("prediction", _PREDICTIONS[self.prediction], None),
                    (
                        "latency_ms",
                        Annotated[float, msgspec.Meta(ge=0, lt=1e12)] | None,
                        None,
                    ),
                    ("status", Annotated[int, msgspec.Meta(ge=0, le=999)], 200),
                    (
                        "error",
                        Annotated[str, msgspec.Meta(max_length=MAX_TEXT)] | None,
                        None,
                    ),
                    ("tags", dict[str, str] | None, None),
                ],
                forbid_unknown_fields=True,
                gc=False,
            )
        )

    def grown(self, events: Iterable[Event]) -> "ModelSchema":
        """This schema with the columns that `events` bring; the same object when they bring none."""
        return self.admit(list(events), Room())[0]

    def admit(
        self, events: Sequence[Event], room: Room
    ) -> tuple["ModelSchema", dict[int, str]]:
        """This schema with the columns that `events` bring as far as there is room, and by place why an event is refused.

        The events before the one that brings too many names stay, and so do those after
        it that bring none.
        """
        refused: dict[int, str] = {}
        kinds: dict[str, FeatureKind] = {}
        prediction = self.prediction
        for place, event in enumerate(events):
            brought = {
                name: value
                for name, value in event.features.items()
                if value is not None and name not in self.by_name and name not in kinds
            }
            if len(kinds) + len(brought) > room.features:
                refused[place] = room.refusal(
                    list(brought)[max(0, room.features - len(kinds))]
                )
                continue
            for name, value in brought.items():
                kinds[name] = (
                    "categorical" if isinstance(value, str | bool) else "numeric"
                )
            if prediction == "unknown" and event.prediction is not None:
                prediction = prediction_kind(event.prediction)
        return self.extended(kinds, prediction), refused

    def extended(
        self, kinds: Mapping[str, FeatureKind], prediction: PredictionKind = "unknown"
    ) -> "ModelSchema":
        """This schema with further features; raises Refused when there would be too many."""
        kinds = {name: kind for name, kind in kinds.items() if name not in self.by_name}
        prediction = prediction if self.prediction == "unknown" else self.prediction
        if not kinds and prediction == self.prediction:
            return self
        first = len(self.features) + 1
        if first + len(kinds) > MAX_FEATURES + 1:
            raise Refused(
                f"model {self.model!r} would have more than {MAX_FEATURES} features"
            )
        new = [
            Feature(name, _key(first + i), kind)
            for i, (name, kind) in enumerate(kinds.items())
        ]
        return replace(self, features=(*self.features, *new), prediction=prediction)

    def to_dict(self, since: int = 0) -> dict[str, Any]:
        """Plain data for the spool: what it is, and its features from number `since` (from 0) on."""
        return {
            "model": self.model,
            "prediction": self.prediction,
            "since": since,
            "features": [[f.name, f.field, f.kind] for f in self.features[since:]],
        }

    def after(self, data: Mapping[str, Any]) -> "ModelSchema":
        """This schema grown to what `to_dict` told of a later one; never smaller than it is."""
        since = data.get("since", 0)
        features = (*self.features[:since], *(Feature(*f) for f in data["features"]))
        prediction = (
            data["prediction"] if self.prediction == "unknown" else self.prediction
        )
        return replace(
            self, features=max(self.features, features, key=len), prediction=prediction
        )


def _key(number: int) -> str:
    return f"{'f' if number <= MAX_FEATURE_COLUMNS else 'w'}_{number:04d}"


_PREDICTIONS: dict[str, Any] = {
    "number": Annotated[float, msgspec.Meta(gt=-1e300, lt=1e300)] | None,
    "class": Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_TEXT)] | None,
    # an object needs its highest class found, an unknown kind needs deciding: both take
    # the thorough path
    "probabilities": None,
    "unknown": None,
}


def prediction_kind(value: float | str | dict[str, float]) -> PredictionKind:
    """What a prediction value says of its model."""
    return (
        "probabilities"
        if isinstance(value, dict)
        else "class"
        if isinstance(value, str)
        else "number"
    )


def split_prediction(
    value: float | str | dict[str, float] | None, kind: PredictionKind
) -> tuple[float | None, str | None]:
    """(number, class) as stored. Of two classes the number is the probability of the last by name, else the highest.

    Raises Refused when the value is of another kind than the model's earlier
    predictions.
    """
    if value is None:
        return None, None
    if isinstance(value, dict):
        if kind != "probabilities":
            raise Refused(
                f"`prediction` is an object; this model's predictions are of kind {kind}"
            )
        best = max(sorted(value), key=value.__getitem__)
        if len(value) == 2:
            return value[max(value)], best
        return value[best], best
    if kind == "class":
        return None, label_text(value)
    if kind == "probabilities":
        raise Refused(
            "`prediction` must be an object of class: probability, as in this model's earlier events"
        )
    if isinstance(value, str):
        raise Refused(
            f"`prediction` is the text {value[:40]!r}; this model's predictions are numbers"
        )
    return value, None
