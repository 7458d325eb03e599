"""The model service of the demo: POST /predict behind the client's ASGI middleware."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import pandas as pd
import uvicorn
from fastapi import Body, FastAPI

from monitor.client import Client
from monitor.client.asgi import DriftdeckMiddleware

from .delay_model import DelayModel
from .flights import FEATURES

MAX_START_S = 15.0


def create_app(model: DelayModel, client: Client) -> FastAPI:
    """Make an app: {"features": {...}} -> {"prediction": probability of being late}."""
    app = FastAPI(title="flight-delay", version=model.version)
    app.add_middleware(DriftdeckMiddleware, client=client, version=model.version)

    @app.post("/predict")
    def predict(
        features: Annotated[dict[str, str | float | None], Body(embed=True)],
    ) -> dict[str, float]:
        row = pd.DataFrame([{name: features.get(name) for name in FEATURES}])
        return {"prediction": round(float(model.predict(row)[0]), 6)}

    return app


@contextmanager
def serving(app: FastAPI, host: str = "127.0.0.1") -> Iterator[str]:
    """Serve the app from a thread on a free port; yield its address."""
    server = uvicorn.Server(
        uvicorn.Config(
            app, host=host, port=0, log_level="error", lifespan="off", ws="none"
        )
    )
    thread = threading.Thread(target=server.run, name="demo-service", daemon=True)
    thread.start()
    try:
        end = time.monotonic() + MAX_START_S
        while not server.started:
            if not thread.is_alive() or time.monotonic() > end:
                raise RuntimeError("the model service did not start")
            time.sleep(0.02)
        yield f"http://{host}:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(MAX_START_S)
