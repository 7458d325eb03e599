"""[[rules]]: one statistic over one window against one limit, and the default rules."""

from datetime import timedelta
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from monitor.config.section import Duration, Section
from monitor.plugins import statistics


class RuleConfig(Section):
    """[[rules]]: one statistic, over one window, against one limit."""

    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
    statistic: str
    limit: float
    warn: float | None = None
    model: str = "*"
    columns: tuple[str, ...] | Literal["*"] = "*"
    window: Duration = timedelta(days=1)
    align: Literal["day", "week"] | None = None
    up_to: Duration | None = None
    minimum: Annotated[int, Field(ge=0)] | None = None
    compare: Literal["value", "increase"] | None = None
    direction: Literal["above", "below"] = "above"
    severity: Literal["critical", "warning"] = "warning"
    hold: Duration = timedelta(0)
    clear: Duration = timedelta(0)
    quantile: Annotated[float, Field(gt=0, lt=1)] = 0.95
    segment: str = ""
    version: str | None = None
    against: Annotated[
        str, Field(pattern=r"^(reference|previous|weeks|version:.{1,200})$")
    ] = "reference"

    @field_validator("statistic")
    @classmethod
    def _is_known(cls, value: str) -> str:
        if value not in statistics():
            raise ValueError(f"{value!r} is unknown; known: {', '.join(statistics())}")
        return value

    @field_validator("name")
    @classmethod
    def _is_not_of_the_detector(cls, value: str) -> str:
        if value.startswith("detector."):
            raise ValueError("names that begin with `detector.` are the detector's own")
        return value

    @field_validator("window")
    @classmethod
    def _is_in_range(cls, value: timedelta) -> timedelta:
        if not timedelta(minutes=1) <= value <= timedelta(days=366):
            raise ValueError("a window has 1 minute to 366 days")
        return value

    @model_validator(mode="after")
    def _is_whole(self) -> "RuleConfig":
        unit = {"day": timedelta(days=1), "week": timedelta(weeks=1)}.get(
            self.align or ""
        )
        if unit and self.window % unit:
            raise ValueError(
                f"a window aligned to the {self.align} has whole {self.align}s, "
                f"like {unit.days}d or {2 * unit.days}d"
            )
        if self.up_to is not None and not self.window <= self.up_to <= timedelta(
            days=366
        ):
            raise ValueError("`up_to` is at least the window and at most 366 days")
        return self


DEFAULT_RULES = (
    RuleConfig(name="drift", statistic="psi", limit=0.2, warn=0.1, hold=timedelta(0)),
    RuleConfig(name="missing-values", statistic="missing_rate", limit=0.05, warn=0.02),
    RuleConfig(name="type-errors", statistic="type_error_rate", limit=0.01),
    RuleConfig(name="new-values", statistic="new_category_share", limit=0.01),
    RuleConfig(
        name="service-errors",
        statistic="error_rate",
        limit=0.02,
        window=timedelta(hours=1),
        severity="critical",
    ),
    RuleConfig(
        name="prediction-errors",
        statistic="wrong_share",
        limit=0.05,
        warn=0.02,
        severity="critical",
        window=timedelta(days=7),
    ),
)
