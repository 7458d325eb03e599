"""The smallest model that MLServer can serve: it adds up the numbers of each row."""

from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class AddsUp(MLModel):
    """One output, `score`, for all numeric inputs together; texts are ignored."""

    async def load(self) -> bool:
        """Load nothing."""
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Return the sum of each row."""
        rows = payload.inputs[0].shape[0]
        score = sum(
            self.decode(column, default_codec=NumpyCodec).reshape(rows, -1).sum(axis=1)
            for column in payload.inputs
            if column.datatype != "BYTES"
        )
        return InferenceResponse(
            model_name=self.name,
            outputs=[NumpyCodec.encode_output("score", score.reshape(rows, 1))],
        )
