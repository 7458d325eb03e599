"""The schemas that new rows are checked against, and which of them are on disk."""

from collections.abc import Mapping
from concurrent.futures import Future

from monitor.schema import ModelSchema


class SchemaCatalog:
    """The schema of every model, by name.

    `current` has what accepted rows brought. A schema counts for good once its record
    is on disk; when the write failed, `forget_unwritten` takes it out again, as rows of
    a schema that is nowhere on disk could never be loaded.
    """

    def __init__(self, schemas: Mapping[str, ModelSchema]) -> None:
        self.current = dict(schemas)
        self._on_disk = dict(schemas)

    def grow(self, schema: ModelSchema, write: "Future[None]") -> None:
        """Replace a model's schema by a larger one, whose record `write` writes."""
        self.current[schema.model] = schema
        write.add_done_callback(
            lambda done: None if done.exception() else self._note_on_disk(schema)
        )

    def replace(self, schema: ModelSchema) -> None:
        """Replace a model's schema by a larger one that the database has."""
        self.current[schema.model] = self._on_disk[schema.model] = schema

    def forget_unwritten(self) -> None:
        """Go back to the schemas that are on disk."""
        for model, schema in list(self.current.items()):
            on_disk = self._on_disk.get(model)
            if on_disk is None:
                del self.current[model]
            elif on_disk is not schema:
                self.current[model] = on_disk

    def _note_on_disk(self, schema: ModelSchema) -> None:
        before = self._on_disk.get(schema.model)
        if before is None or len(before.features) <= len(schema.features):
            self._on_disk[schema.model] = schema
