"""Client for a watched service: standard library only, non-blocking, raises nothing.

    from monitor.client import Client

    with Client("http://127.0.0.1:8700", model="flight-delay", version="2013-03") as client:
        event_id = client.log({"origin": "JFK", "distance": 1089}, prediction=0.21, latency_ms=4.2)
        client.label(event_id, True)

`monitor.client.asgi` and `monitor.client.wsgi` hold a middleware that does the same for
a whole web service.
"""

from .client import Client
from .event_id import new_event_id
from .image import image_statistics

__all__ = ["Client", "image_statistics", "new_event_id"]
