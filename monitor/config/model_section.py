"""[models.NAME]: the task, reference, columns and detector of one model."""

from datetime import date, datetime
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from monitor.calendar import Calendar
from monitor.config.columns import ColumnPolicy
from monitor.config.section import Section


class ReferenceConfig(Section):
    """[models.NAME.reference]: a file (path from the configuration's folder) or a stored period."""

    file: Path | None = None
    timestamp: str = "ts"
    prediction: str = "prediction"
    label: str | None = None
    start: datetime | None = Field(None, alias="from")
    end: datetime | None = Field(None, alias="to")

    @model_validator(mode="after")
    def _has_one_source(self) -> "ReferenceConfig":
        if (self.file is None) == (self.start is None or self.end is None):
            raise ValueError("give either `file`, or both `from` and `to`")
        return self


class DetectorConfig(Section):
    """[models.NAME.detector]: the change detector of one model.

    `days`: the false-alarm budget, one false alarm in that many days. `tolerance`: a
    shift, in reference sd, that is ignored. `selftest_days`: days between two
    self-tests, 0 for none. `segments`: also watch the first segments apart. `labels`:
    warn when labels are overdue. The time zone and the holidays are those of the people
    behind the traffic.
    """

    enabled: bool = True
    days: Annotated[float, Field(ge=1, le=3650)] = 90
    tolerance: Annotated[float, Field(gt=0, le=1)] = 0.05
    timezone: str = "UTC"
    country: str | None = None
    subdivision: str | None = None
    special_days: tuple[date, ...] = ()
    selftest_days: Annotated[float, Field(ge=0, le=365)] = 7
    segments: bool = False
    labels: bool = True

    @model_validator(mode="after")
    def _is_valid(self) -> "DetectorConfig":
        self.calendar  # noqa: B018 (read for its error)
        return self

    @cached_property
    def calendar(self) -> Calendar:
        """The model's clock and special days."""
        return Calendar(
            self.timezone, self.country, self.subdivision, self.special_days
        )


class ModelConfig(Section):
    """[models.NAME]: settings that the events do not contain."""

    task: Literal["auto", "binary", "classification", "regression"] = "auto"
    reference: ReferenceConfig | None = None
    segments: tuple[str, ...] = ()
    importance: dict[str, float] = Field(default_factory=dict)
    columns: dict[str, ColumnPolicy] = Field(default_factory=dict)
    undeclared: Literal["keep", "drop"] = "keep"
    entity: str | None = None
    reconstruction_error: bool = True
    detector: DetectorConfig = DetectorConfig()

    @field_validator("importance")
    @classmethod
    def _is_positive(cls, value: dict[str, float]) -> dict[str, float]:
        bad = [name for name, share in value.items() if not 0 <= share < float("inf")]
        if bad:
            raise ValueError(f"the importance of {bad[0]!r} must be 0 or more")
        return value
