"""The smallest model that MLServer can serve: it adds up the numbers of each row."""

from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class AddsUp(MLModel):
    """One output, `score`, for all inputs together; texts count with their length."""

    async def load(self) -> bool:
        """Nothing to load."""
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """The sum of each row."""
        rows = payload.inputs[0].shape[0]
        score = sum(
            self.decode(given, default_codec=NumpyCodec).reshape(rows, -1).sum(axis=1)
            for given in payload.inputs
            if given.datatype != "BYTES"
        )
        return InferenceResponse(
            model_name=self.name,
            outputs=[NumpyCodec.encode_output("score", score.reshape(rows, 1))],
        )
