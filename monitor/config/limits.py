"""[limits] and [retention]: limits of requests and storage, and the age of stored data."""

from typing import Annotated

from pydantic import Field

from monitor.config.section import Section


class Limits(Section):
    """[limits]: limits of a request, a connection, a key and the server."""

    max_age_days: Annotated[float, Field(gt=0, le=36500)] = 400
    max_ahead_minutes: Annotated[float, Field(ge=0, le=1440)] = 10
    max_body_mb: Annotated[float, Field(gt=0, le=1024)] = 5
    max_rows: Annotated[int, Field(gt=0, le=1_000_000)] = 10_000
    max_models: Annotated[int, Field(gt=0)] = 1000
    max_features: Annotated[int, Field(gt=0, le=10_000)] = 10_000
    new_names_per_hour: Annotated[int, Field(gt=0)] = 10_000
    max_spool_mb: Annotated[int, Field(ge=64)] = 1024
    half_minutes: Annotated[float, Field(gt=0, le=1440)] = 60
    max_halves_mb: Annotated[int, Field(ge=1)] = 64
    max_quarantine_mb: Annotated[int, Field(ge=1)] = 64
    memory: Annotated[str, Field(pattern=r"^\d+(MB|GB)$")] = "256MB"
    max_header_kb: Annotated[int, Field(ge=1, le=64)] = 8
    header_seconds: Annotated[float, Field(gt=0, le=3600)] = 10
    body_seconds: Annotated[float, Field(gt=0, le=3600)] = 30
    keep_alive_seconds: Annotated[int, Field(ge=1, le=3600)] = 5
    max_connections: Annotated[int, Field(ge=1, le=100_000)] = 800
    rows_per_second: Annotated[int, Field(ge=1)] | None = None
    burst_rows: Annotated[int, Field(ge=1)] = 100_000


class Retention(Section):
    """[retention]: days until rows and profiles are deleted; None: never."""

    raw_days: Annotated[int, Field(ge=1)] | None = None
    profile_days: Annotated[int, Field(ge=1)] | None = None
