"""How many new names may still come: features of a model, and models of a server."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from monitor.schema import FeatureAllowance, ModelSchema

HOUR = timedelta(hours=1)


@dataclass
class Quota:
    """Counts of the names that came lately; `max_features` a model, `max_models` a server, `new_names` of each an hour."""

    max_features: int = 10_000
    max_models: int = 1000
    new_names: int = 10_000

    def __post_init__(self) -> None:
        # by model, "" for models: since when, and how many
        self._came: dict[str, tuple[datetime, int]] = {}

    def note(self, model: str, names: int, now: datetime) -> None:
        """Count names that came: features of `model`, or new models when it is ""."""
        begun, n = self._of_hour(model, now)
        self._came[model] = begun, n + names

    def room(self, schema: ModelSchema, now: datetime) -> FeatureAllowance:
        """How many features a model may get now."""
        free, left = (
            self.max_features - len(schema.features),
            self._left(schema.model, now),
        )
        if free <= left:
            return FeatureAllowance(
                max(0, free),
                f"limits.max_features allows {self.max_features} for a model; raise it",
            )
        return FeatureAllowance(
            max(0, left),
            f"limits.new_names_per_hour allows {self.new_names} new ones; send again later, or raise it",
        )

    def model_refused(self, known: int, added: int, now: datetime) -> str | None:
        """Why no further model is taken beside the `known` and those `added` by this request; None when one is."""
        if known + added >= self.max_models:
            return f"there are {known + added} models already; raise limits.max_models"
        if self._left("", now) <= added:
            return f"limits.new_names_per_hour allows {self.new_names} new models; send again later, or raise it"
        return None

    def _left(self, model: str, now: datetime) -> int:
        return self.new_names - self._of_hour(model, now)[1]

    def _of_hour(self, model: str, now: datetime) -> tuple[datetime, int]:
        begun, n = self._came.get(model, (now, 0))
        return (begun, n) if now - begun < HOUR else (now, 0)
