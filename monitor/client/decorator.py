"""The decorator that logs every call of a function as one prediction."""

from __future__ import annotations

import asyncio
import functools
import inspect
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from .event_id import new_event_id

if TYPE_CHECKING:
    from .client import Client

Extract = Callable[[dict[str, Any], Any], Mapping[str, Any] | None]

# as in the ASGI middleware: the caller did not wait for the answer
_CLIENT_CLOSED_REQUEST = 499


def features_and_prediction(arguments: dict[str, Any], result: Any) -> dict[str, Any]:
    """The arguments as features (a single mapping is taken apart), the result as prediction."""
    values = list(arguments.values())
    features = (
        values[0] if len(values) == 1 and isinstance(values[0], Mapping) else arguments
    )
    return {"features": features, "prediction": result}


def watching(
    client: Client,
    extract: Extract | None,
    event_id: str | None,
    model: str | None,
    version: str | None,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The decorator.

    Raises TypeError for a generator function: it has no single result.
    """

    def wrap(function: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(
            function
        ):
            raise TypeError(
                f"{function.__qualname__} is a generator: watch the function that gives the whole result"
            )
        watched = _Watched(
            client,
            function,
            extract or features_and_prediction,
            event_id,
            model,
            version,
        )
        return (
            watched.coroutine()
            if inspect.iscoroutinefunction(function)
            else watched.plain()
        )

    return wrap


class _Watched:
    """One watched function."""

    def __init__(
        self,
        client: Client,
        function: Callable[..., Any],
        extract: Extract,
        event_id: str | None,
        model: str | None,
        version: str | None,
    ) -> None:
        self.client, self.function, self.extract = client, function, extract
        self.event_id, self.model, self.version = event_id, model, version
        self.signature = inspect.signature(function)
        # a method's self and a class method's cls are no features
        self.skipped = {
            n for n in list(self.signature.parameters)[:1] if n in ("self", "cls")
        }

    def plain(self) -> Callable[..., Any]:
        function = self.function

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            began, start = time.time(), time.perf_counter()
            try:
                result = function(*args, **kwargs)
            except Exception as error:
                self.log(
                    args, kwargs, began, time.perf_counter() - start, None, error, 500
                )
                raise
            self.log(
                args, kwargs, began, time.perf_counter() - start, result, None, 200
            )
            return result

        return call

    def coroutine(self) -> Callable[..., Any]:
        function = self.function

        @functools.wraps(function)
        async def call(*args: Any, **kwargs: Any) -> Any:
            began, start = time.time(), time.perf_counter()
            try:
                result = await function(*args, **kwargs)
            except asyncio.CancelledError as error:
                self.log(
                    args,
                    kwargs,
                    began,
                    time.perf_counter() - start,
                    None,
                    error,
                    _CLIENT_CLOSED_REQUEST,
                )
                raise
            except Exception as error:
                self.log(
                    args, kwargs, began, time.perf_counter() - start, None, error, 500
                )
                raise
            self.log(
                args, kwargs, began, time.perf_counter() - start, result, None, 200
            )
            return result

        return call

    def log(
        self,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        began: float,
        seconds: float,
        result: Any,
        error: BaseException | None,
        status: int,
    ) -> None:
        """Log one call; a mistake in `extract` or in the arguments costs the event its features, never the caller."""
        arguments: dict[str, Any] = {}
        try:
            arguments = self.arguments(args, kwargs)
            id_ = (
                str(arguments.pop(self.event_id))
                if self.event_id in arguments
                else new_event_id()
            )
            found = self.extract(arguments, result)
            if found is None and error is None:
                return
        except Exception as problem:
            id_, found = new_event_id(), None
            self.client._backlog.tally.last_error = f"extract failed: {problem!r}"
        found = found or {}
        self.client.log(
            found.get("features") or {},
            found.get("prediction"),
            model=self.model,
            version=self.version,
            event_id=id_,
            ts=began,
            latency_ms=round(seconds * 1e3, 3),
            status=status,
            error=None
            if error is None
            else f"{type(error).__name__}: {error}".rstrip(": "),
            tags=found.get("tags"),
        )

    def arguments(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> dict[str, Any]:
        """The call's arguments by name, defaults included; those of ** stand beside the others."""
        bound = self.signature.bind(*args, **kwargs)
        bound.apply_defaults()
        named = {
            name: value
            for name, value in bound.arguments.items()
            if name not in self.skipped
        }
        for name, parameter in self.signature.parameters.items():
            if parameter.kind is parameter.VAR_KEYWORD:
                named.update(named.pop(name, {}))
            elif parameter.kind is parameter.VAR_POSITIONAL and not named.get(name):
                named.pop(name, None)
        return named
