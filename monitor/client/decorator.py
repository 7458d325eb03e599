"""Decorator that logs every call of a function as one prediction."""

from __future__ import annotations

import asyncio
import functools
import inspect
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from .event_id import new_event_id

Extract = Callable[[dict[str, Any], Any], Mapping[str, Any] | None]

# as in the ASGI middleware: the caller did not wait for the result
_CLIENT_CLOSED_REQUEST = 499


class PredictionLogger(Protocol):
    """The part of a client that logs predictions."""

    def log(
        self,
        features: Mapping[str, Any],
        prediction: Any,
        *,
        model: str | None = None,
        version: str | None = None,
        event_id: str | None = None,
        ts: float | None = None,
        latency_ms: float | None = None,
        status: int = 200,
        error: str | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> str:
        """Log one prediction; return its event id."""

    def report_error(self, error: str) -> None:
        """Set the newest error of the statistics."""


def extract_arguments(arguments: dict[str, Any], result: Any) -> dict[str, Any]:
    """Use the arguments as features and the result as prediction.

    A mapping that is the only argument is the features itself.
    """
    values = list(arguments.values())
    features: Mapping[str, Any] = arguments
    if len(values) == 1 and isinstance(values[0], Mapping):
        features = values[0]
    return {"features": features, "prediction": result}


def log_calls(
    logger: PredictionLogger,
    extract: Extract | None,
    event_id: str | None,
    model: str | None,
    version: str | None,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Make the decorator.

    It raises TypeError for a generator function, which has no single result.
    """
    extract = extract or extract_arguments

    def wrap(function: Callable[..., Any]) -> Callable[..., Any]:
        if _is_generator(function):
            raise TypeError(
                f"{function.__qualname__} is a generator:"
                " watch the function that gives the whole result"
            )
        watched = _WatchedFunction(logger, function, extract, event_id, model, version)
        if inspect.iscoroutinefunction(function):
            return watched.wrap_coroutine()
        return watched.wrap_plain()

    return wrap


def _is_generator(function: Callable[..., Any]) -> bool:
    return inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)


class _Call:
    """The arguments and times of one call."""

    def __init__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.args = args
        self.kwargs = kwargs
        self.ts = time.time()
        self._start = time.perf_counter()

    def elapsed_ms(self) -> float:
        return round((time.perf_counter() - self._start) * 1e3, 3)


class _WatchedFunction:
    """One watched function, and the way its calls are logged."""

    def __init__(
        self,
        logger: PredictionLogger,
        function: Callable[..., Any],
        extract: Extract,
        event_id: str | None,
        model: str | None,
        version: str | None,
    ) -> None:
        self.logger = logger
        self.function = function
        self.extract = extract
        self.event_id = event_id
        self.model = model
        self.version = version
        self.signature = inspect.signature(function)
        # a method's self and a class method's cls are not features
        first = list(self.signature.parameters)[:1]
        self.skipped = {name for name in first if name in ("self", "cls")}

    def wrap_plain(self) -> Callable[..., Any]:
        function = self.function

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            call = _Call(args, kwargs)
            try:
                result = function(*args, **kwargs)
            except Exception as error:
                self.log_failure(call, error, 500)
                raise
            self.log_result(call, result)
            return result

        return wrapper

    def wrap_coroutine(self) -> Callable[..., Any]:
        function = self.function

        @functools.wraps(function)
        async def wrapper(*args: Any, **kwargs: Any) -> Any:
            call = _Call(args, kwargs)
            try:
                result = await function(*args, **kwargs)
            except asyncio.CancelledError as error:
                self.log_failure(call, error, _CLIENT_CLOSED_REQUEST)
                raise
            except Exception as error:
                self.log_failure(call, error, 500)
                raise
            self.log_result(call, result)
            return result

        return wrapper

    def log_result(self, call: _Call, result: Any) -> None:
        """Log one call that returned."""
        self._log(call, call.elapsed_ms(), result, None, 200)

    def log_failure(self, call: _Call, error: BaseException, status: int) -> None:
        """Log one call that raised."""
        latency_ms = call.elapsed_ms()
        text = f"{type(error).__name__}: {error}".rstrip(": ")
        self._log(call, latency_ms, None, text, status)

    def _log(
        self,
        call: _Call,
        latency_ms: float,
        result: Any,
        error: str | None,
        status: int,
    ) -> None:
        """Log one call.

        An error in `extract` or in the arguments costs the event its features; the
        caller never sees it.
        """
        try:
            arguments = self._arguments(call)
            event_id = new_event_id()
            if self.event_id in arguments:
                event_id = str(arguments.pop(self.event_id))
            extracted = self.extract(arguments, result)
            if extracted is None and error is None:
                return
        except Exception as problem:
            event_id, extracted = new_event_id(), None
            self.logger.report_error(f"extract failed: {problem!r}")
        extracted = extracted or {}
        self.logger.log(
            extracted.get("features") or {},
            extracted.get("prediction"),
            model=self.model,
            version=self.version,
            event_id=event_id,
            ts=call.ts,
            latency_ms=latency_ms,
            status=status,
            error=error,
            tags=extracted.get("tags"),
        )

    def _arguments(self, call: _Call) -> dict[str, Any]:
        """Return the arguments by name, defaults included, those of ** beside the others."""
        bound = self.signature.bind(*call.args, **call.kwargs)
        bound.apply_defaults()
        arguments = {
            name: value
            for name, value in bound.arguments.items()
            if name not in self.skipped
        }
        for name, parameter in self.signature.parameters.items():
            if parameter.kind is parameter.VAR_KEYWORD:
                arguments.update(arguments.pop(name, {}))
            elif parameter.kind is parameter.VAR_POSITIONAL and not arguments.get(name):
                arguments.pop(name, None)
        return arguments
