"""Limits for new names: features of a model, and models of a server."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from monitor.schema import FeatureAllowance, ModelSchema

HOUR = timedelta(hours=1)
ALL_MODELS = ""  # under this name new models are counted


@dataclass
class Quota:
    """Counts new names of the last hour.

    `max_features` of a model, `max_models` of a server, `new_names` of each an hour.
    """

    max_features: int = 10_000
    max_models: int = 1000
    new_names: int = 10_000

    def __post_init__(self) -> None:
        # by model: the start of its hour, and the names of that hour
        self._counts: dict[str, tuple[datetime, int]] = {}

    def note(self, model: str, names: int, now: datetime) -> None:
        """Count new features of `model`, or new models when it is ""."""
        begun, count = self._this_hour(model, now)
        self._counts[model] = begun, count + names

    def allowance(self, schema: ModelSchema, now: datetime) -> FeatureAllowance:
        """Return how many features a model may still get, and the reason of the limit."""
        of_model = self.max_features - len(schema.features)
        of_hour = self._remaining(schema.model, now)
        if of_model <= of_hour:
            return FeatureAllowance(
                max(0, of_model),
                f"limits.max_features allows {self.max_features} for a model; raise it",
            )
        return FeatureAllowance(
            max(0, of_hour),
            f"limits.new_names_per_hour allows {self.new_names} new ones;"
            " send again later, or raise it",
        )

    def reason_against_model(
        self, stored: int, added: int, now: datetime
    ) -> str | None:
        """Return why no further model is accepted; None when one is.

        `stored` models exist, `added` ones are new in this request.
        """
        models = stored + added
        if models >= self.max_models:
            return f"there are {models} models already; raise limits.max_models"
        if self._remaining(ALL_MODELS, now) <= added:
            return (
                f"limits.new_names_per_hour allows {self.new_names} new models;"
                " send again later, or raise it"
            )
        return None

    def _remaining(self, model: str, now: datetime) -> int:
        return self.new_names - self._this_hour(model, now)[1]

    def _this_hour(self, model: str, now: datetime) -> tuple[datetime, int]:
        begun, count = self._counts.get(model, (now, 0))
        # a clock that was ahead leaves an hour that begins later
        is_same_hour = timedelta(0) <= now - begun < HOUR
        return (begun, count) if is_same_hour else (now, 0)
