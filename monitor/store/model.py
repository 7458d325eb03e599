"""A model as stored, and the catalog of all models in memory."""

from collections.abc import Mapping
from dataclasses import dataclass

import duckdb

from monitor.errors import NotFound
from monitor.reconstruction import Reconstruction
from monitor.schema import RECONSTRUCTION_ERROR, Feature, ModelSchema
from monitor.sql import quote
from monitor.store.database import Database

# columns with profiles that are no features, the four that are listed first
OTHER_COLUMNS = (
    "prediction",
    RECONSTRUCTION_ERROR,
    "latency_ms",
    "status",
    "wrong",
    "absolute_error",
)
MAX_LISTED_MODELS = 10
MAX_LISTED_FEATURES = 20


@dataclass(frozen=True)
class Model:
    """One model as stored.

    `id` names its tables, `schema` its columns, `task` how its predictions are
    compared with labels. `reconstruction` was fitted to the reference's features
    together; None when it has too few rows or features.
    """

    id: int
    name: str
    task: str
    schema: ModelSchema
    reconstruction: Reconstruction | None = None

    @property
    def events(self) -> str:
        """The quoted name of its events table."""
        return quote(f"events_{self.id}")

    @property
    def labels(self) -> str:
        """The quoted name of its labels table."""
        return quote(f"labels_{self.id}")


@dataclass(frozen=True)
class ModelSettings:
    """The settings of one model that the store needs."""

    task: str = "auto"
    segments: tuple[str, ...] = ()
    reconstruction: bool = True


class ModelCatalog:
    """Every model by name, in memory as it is stored."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._models: dict[str, Model] = {}
        self.read()

    def read(self) -> None:
        """Read every model from the database."""
        self._models = read_models(self._database.connection)

    def all(self) -> dict[str, Model]:
        """Return every model by name."""
        return dict(self._models)

    def get(self, name: str) -> Model:
        """Return one model. Raises NotFound, which lists the models that exist."""
        model = self._models.get(name)
        if model is None:
            names = ", ".join(sorted(self._models)[:MAX_LISTED_MODELS])
            names = names or "none yet; send an event to POST /v1/events"
            raise NotFound(f"there is no model {name!r}; known: {names}")
        return model

    def update(self, models: Mapping[str, Model]) -> None:
        """Add models, or replace those of the same name."""
        self._models = {**self._models, **models}

    def column_key(self, name: str, column: str) -> str:
        """Return the stored key of a model's column; a feature is given by its own name.

        Raises NotFound, which lists the columns that exist.
        """
        schema = self.get(name).schema
        feature = schema.by_name.get(column)
        if feature is not None:
            return feature.field
        if column in OTHER_COLUMNS:
            return column
        features = list(schema.by_name)[:MAX_LISTED_FEATURES]
        names = ", ".join([*features, *OTHER_COLUMNS[:4]])
        raise NotFound(f"model {name!r} has no column {column!r}; known: {names}")


def read_models(con: duckdb.DuckDBPyConnection) -> dict[str, Model]:
    """Read every stored model, by name."""
    features: dict[int, list[Feature]] = {}
    # one statement for all models: one for each of a thousand needs seconds
    for id_, name, field, kind in con.execute(
        "SELECT model, name, field, kind FROM features ORDER BY model, position"
    ).fetchall():
        features.setdefault(id_, []).append(Feature(name, field, kind))
    models = {}
    for id_, name, task, prediction, text in con.execute(
        "SELECT id, name, task, prediction, reconstruction FROM models ORDER BY id"
    ).fetchall():
        schema = ModelSchema(name, tuple(features.get(id_, ())), prediction)
        reconstruction = None if text is None else Reconstruction.from_json(text)
        models[name] = Model(id_, name, task, schema, reconstruction)
    return models
