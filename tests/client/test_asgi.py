"""The ASGI middleware changes nothing the caller sees but one header, and logs what really happened."""

import asyncio
import json

import httpx
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Route

from monitor.client import Client
from monitor.client.asgi import DriftdeckMiddleware

BODY = {"features": {"a": 1, "b": "x"}}


async def predict(request: Request) -> JSONResponse:
    features = (await request.json())["features"]
    await asyncio.sleep(features.get("sleep", 0))
    return JSONResponse({"prediction": 0.25, "note": "ok"})


async def broken(request: Request) -> JSONResponse:
    await request.body()
    raise ZeroDivisionError("no model loaded")


async def refusing(request: Request) -> JSONResponse:
    return JSONResponse({"detail": "no such model"}, status_code=422)


async def stream(request: Request) -> StreamingResponse:
    async def parts():
        for part in ('{"predic', 'tion": ', "1}"):
            yield part

    await request.body()
    return StreamingResponse(parts(), media_type="application/json")


async def works_afterwards(request: Request) -> JSONResponse:
    await request.body()
    return JSONResponse(
        {"prediction": 1}, background=BackgroundTask(request.app.state.afterwards)
    )


async def page(request: Request) -> PlainTextResponse:
    return PlainTextResponse("hello")


ROUTES = [
    Route("/predict", predict, methods=["POST"]),
    Route("/broken", broken, methods=["POST"]),
    Route("/refusing", refusing, methods=["POST"]),
    Route("/stream", stream, methods=["POST"]),
    Route("/works-afterwards", works_afterwards, methods=["POST"]),
    Route("/page", page),
    Route("/elsewhere", predict, methods=["POST"]),
]
WATCHED = ("/predict", "/broken", "/refusing", "/stream", "/works-afterwards", "/page")


@pytest.fixture
def client(collector):
    with Client(collector.url, model="m", version="7", flush_interval=60) as client:
        yield client


def ask(app, method, path, **options):
    async def exchange():
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(
            transport=transport, base_url="http://service"
        ) as http:
            return await http.request(method, path, **options)

    return asyncio.run(exchange())


def watched(client, **options):
    return DriftdeckMiddleware(
        Starlette(routes=ROUTES), client, paths=WATCHED, **options
    )


def logged(client, collector):
    assert client.flush(20)
    return collector.records()


def test_prediction_is_logged_with_latency_status_and_id(client, collector):
    answer = ask(
        watched(client), "POST", "/predict", json={"features": {"a": 1, "sleep": 0.05}}
    )
    [event] = logged(client, collector)
    assert answer.json() == {"prediction": 0.25, "note": "ok"}
    assert answer.headers["x-driftdeck-event-id"] == event["event_id"]
    assert event["features"] == {"a": 1, "sleep": 0.05}
    assert (event["prediction"], event["status"], event["model"], event["version"]) == (
        0.25,
        200,
        "m",
        "7",
    )
    assert 50 <= event["latency_ms"] < 10_000


def test_answer_is_the_same_as_without_the_middleware(client):
    plain = ask(Starlette(routes=ROUTES), "POST", "/predict", json=BODY)
    wrapped = ask(watched(client), "POST", "/predict", json=BODY)
    assert wrapped.content == plain.content
    assert [
        h for h in wrapped.headers.raw if h[0] != b"x-driftdeck-event-id"
    ] == plain.headers.raw


def test_exception_is_logged_as_500_and_raised_again(client, collector):
    with pytest.raises(ZeroDivisionError):
        ask(watched(client), "POST", "/broken", json=BODY)
    [event] = logged(client, collector)
    assert (event["status"], event["error"]) == (
        500,
        "ZeroDivisionError: no model loaded",
    )
    assert event["features"] == BODY["features"] and "prediction" not in event


def test_error_answer_is_logged_without_a_prediction(client, collector):
    assert ask(watched(client), "POST", "/refusing", json=BODY).status_code == 422
    [event] = logged(client, collector)
    assert event["status"] == 422 and "prediction" not in event


def test_streamed_answer_passes_in_parts_and_is_logged(client, collector):
    parts = []

    async def send(message):
        parts.append(message)

    async def receive():
        return {
            "type": "http.request",
            "body": json.dumps(BODY).encode(),
            "more_body": False,
        }

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/stream",
        "headers": [],
        "query_string": b"",
        "root_path": "",
    }
    scope |= {
        "asgi": {"spec_version": "2.4"},
        "http_version": "1.1",
        "scheme": "http",
        "server": ("x", 80),
    }
    asyncio.run(watched(client)(scope, receive, send))
    assert [p["body"] for p in parts if p.get("body")] == [
        b'{"predic',
        b'tion": ',
        b"1}",
    ]
    [event] = logged(client, collector)
    assert event["prediction"] == 1


def test_prediction_is_logged_before_background_tasks_run(client):
    app = Starlette(routes=ROUTES)
    logged_before = []
    app.state.afterwards = lambda: logged_before.append(client.stats()["logged"])
    ask(
        DriftdeckMiddleware(app, client, paths=WATCHED),
        "POST",
        "/works-afterwards",
        json=BODY,
    )
    assert logged_before == [1]
    assert client.stats()["logged"] == 1


def test_other_paths_and_pages_are_not_logged(client, collector):
    app = watched(client)
    assert (
        "x-driftdeck-event-id" not in ask(app, "POST", "/elsewhere", json=BODY).headers
    )
    assert ask(app, "GET", "/page").text == "hello"
    assert logged(client, collector) == []


def test_paths_may_end_with_a_star(client, collector):
    app = DriftdeckMiddleware(Starlette(routes=ROUTES), client, paths=("/else*",))
    ask(app, "POST", "/elsewhere", json=BODY)
    assert len(logged(client, collector)) == 1


def test_body_above_the_cap_reaches_the_service_whole(client, collector):
    features = {"a": "x" * 5_000}
    answer = ask(
        watched(client, max_body=1_000), "POST", "/predict", json={"features": features}
    )
    assert answer.json()["prediction"] == 0.25
    assert logged(client, collector) == []


def test_own_extract_finds_features_and_tags(client, collector):
    def extract(request, response):
        return {
            "features": {"n": len(request["features"])},
            "prediction": response["note"],
            "tags": {"from": "test"},
        }

    ask(watched(client, extract=extract), "POST", "/predict", json=BODY)
    [event] = logged(client, collector)
    assert (event["features"], event["prediction"], event["tags"]) == (
        {"n": 2},
        "ok",
        {"from": "test"},
    )


def test_extract_that_raises_costs_the_caller_nothing(client, collector):
    answer = ask(
        watched(client, extract=lambda request, response: 1 / 0),
        "POST",
        "/predict",
        json=BODY,
    )
    assert answer.status_code == 200
    assert logged(client, collector) == []


def test_caller_who_leaves_is_logged_as_499(client, collector):
    async def leave():
        async def forever(scope, receive, send):
            await receive()
            await asyncio.sleep(60)

        async def receive():
            return {
                "type": "http.request",
                "body": json.dumps(BODY).encode(),
                "more_body": False,
            }

        app = DriftdeckMiddleware(forever, client)
        task = asyncio.create_task(
            app({"type": "http", "method": "POST", "path": "/predict"}, receive, None)
        )
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(leave())
    [event] = logged(client, collector)
    assert (event["status"], event["error"]) == (499, "CancelledError")


def test_lifespan_passes_through(client):
    seen = []

    async def app(scope, receive, send):
        seen.append(scope["type"])

    asyncio.run(DriftdeckMiddleware(app, client)({"type": "lifespan"}, None, None))
    assert seen == ["lifespan"]


def test_added_to_fastapi_as_a_middleware(client, collector):
    app = FastAPI()
    app.add_middleware(DriftdeckMiddleware, client=client)

    @app.post("/predict")
    def answer(body: dict) -> dict:
        return {"prediction": "late"}

    ask(app, "POST", "/predict", json=BODY)
    assert logged(client, collector)[0]["prediction"] == "late"
