"""Check whether a request may write a model: its name, the sender's key, and the quota of new models."""

from collections.abc import Callable, Mapping
from datetime import datetime

from monitor.event import MAX_NAME, Refused
from monitor.ingest.accepted import AcceptedBatch
from monitor.ingest.quota import Quota
from monitor.schema import ModelSchema


class ModelAdmission:
    """The models of a server, and its rules for new ones."""

    def __init__(
        self,
        schemas: Mapping[str, ModelSchema],
        quota: Quota,
        clock: Callable[[], datetime],
    ) -> None:
        self.schemas = schemas
        self.quota = quota
        self.clock = clock

    def check(self, model: str, batch: AcceptedBatch) -> None:
        """Note a new model in the batch. Raises Refused when the request may not write it."""
        if not model:
            raise Refused("`model` is missing; it is required")
        if not batch.may_write(model):
            raise Refused(
                f"this key may not write the model {model[:MAX_NAME]!r};"
                " send it with a key that is for it"
            )
        if model in self.schemas or model in batch.new_models:
            return
        if len(model) > MAX_NAME:
            raise Refused(
                f"model name {model[:40]!r} has more than {MAX_NAME} characters"
            )
        reason = self.quota.reason_against_model(
            len(self.schemas), len(batch.new_models), self.clock()
        )
        if reason is not None:
            raise Refused(f"{reason} (new model {model[:40]!r})")
        batch.new_models.add(model)

    def schema(self, model: str) -> ModelSchema:
        """Return the model's schema; an empty one for a new model."""
        return self.schemas.get(model) or ModelSchema(model)
