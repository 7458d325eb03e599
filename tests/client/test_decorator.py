"""The decorator logs every call as it was, and changes nothing the caller sees."""

import asyncio
import inspect

import pytest

from monitor.client import Client


@pytest.fixture
def client(collector):
    with Client(collector.url, model="m", version="1", flush_interval=60) as client:
        yield client


def logged(client, collector):
    assert client.flush(20)
    return collector.records()


def test_arguments_are_features_and_the_result_is_the_prediction(client, collector):
    @client.watch
    def risk(age: float, country: str = "TW") -> float:
        """How risky."""
        return age / 100

    assert risk(40) == 0.4
    assert (risk.__name__, risk.__doc__) == ("risk", "How risky.")
    [event] = logged(client, collector)
    assert event["features"] == {"age": 40, "country": "TW"}
    assert (event["prediction"], event["status"], event["model"], event["version"]) == (
        0.4,
        200,
        "m",
        "1",
    )
    assert event["latency_ms"] >= 0


def test_single_mapping_is_taken_apart(client, collector):
    @client.watch
    def risk(features):
        return {"yes": 0.25, "no": 0.75}

    risk({"age": 41, "country": "TW"})
    [event] = logged(client, collector)
    assert event["features"] == {"age": 41, "country": "TW"}
    assert event["prediction"] == {"yes": 0.25, "no": 0.75}


def test_method_is_logged_without_self_and_keywords_stand_beside(client, collector):
    class Model:
        @client.watch(model="other", version="2")
        def risk(self, age, *rest, **more):
            return age

    assert Model().risk(3, b="x", c=None) == 3
    [event] = logged(client, collector)
    assert event["features"] == {"age": 3, "b": "x", "c": None}
    assert (event["model"], event["version"]) == ("other", "2")


def test_exception_is_logged_as_500_and_raised_again(client, collector):
    @client.watch
    def risk(age):
        raise ZeroDivisionError("no model loaded")

    with pytest.raises(ZeroDivisionError):
        risk(age=7)
    [event] = logged(client, collector)
    assert (event["status"], event["error"]) == (
        500,
        "ZeroDivisionError: no model loaded",
    )
    assert event["features"] == {"age": 7} and "prediction" not in event


def test_coroutine_stays_one_and_its_latency_is_real(client, collector):
    @client.watch
    async def risk(age):
        await asyncio.sleep(0.05)
        return age

    assert inspect.iscoroutinefunction(risk)
    assert asyncio.run(risk(5)) == 5
    [event] = logged(client, collector)
    assert event["prediction"] == 5 and event["latency_ms"] >= 50


def test_cancelled_coroutine_is_logged_as_499(client, collector):
    @client.watch
    async def risk(age):
        await asyncio.sleep(60)

    async def leave():
        task = asyncio.create_task(risk(1))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(leave())
    [event] = logged(client, collector)
    assert (event["status"], event["error"]) == (499, "CancelledError")


def test_many_calls_at_once_are_all_logged(client, collector):
    @client.watch
    async def risk(i):
        await asyncio.sleep(0)
        return i

    async def calls():
        return await asyncio.gather(*(risk(i) for i in range(300)))

    asyncio.run(calls())
    assert sorted(event["prediction"] for event in logged(client, collector)) == list(
        range(300)
    )


def test_own_extract_and_own_id(client, collector):
    @client.watch(
        extract=lambda given, result: {
            "features": {"n": len(given["pixels"])},
            "prediction": result[0],
        },
        event_id="order",
    )
    def classify(pixels, order):
        return ("cat", 0.9)

    classify([1, 2, 3], order=4711)
    [event] = logged(client, collector)
    assert (event["features"], event["prediction"], event["event_id"]) == (
        {"n": 3},
        "cat",
        "4711",
    )


def test_extract_may_say_that_there_is_no_prediction(client, collector):
    watched = client.watch(lambda x: x, extract=lambda given, result: None)
    assert watched(1) == 1
    assert logged(client, collector) == []


def test_extract_that_raises_costs_the_caller_nothing(client, collector):
    watched = client.watch(lambda x: x, extract=lambda given, result: 1 / 0)
    assert watched(1) == 1
    [event] = logged(client, collector)
    assert event["features"] == {} and "prediction" not in event
    assert client.stats()["accepted"] == 1


def test_wrong_arguments_raise_what_they_raise_without_the_decorator(client):
    @client.watch
    def risk(age):
        return age

    with pytest.raises(TypeError, match="risk"):
        risk(years=3)


def test_generator_is_refused_when_decorated(client):
    def parts():
        yield 1

    with pytest.raises(TypeError, match="is a generator"):
        client.watch(parts)
