"""Features and predictions from the values of a request or a response, for every format.

- A number, text or boolean under a name is one feature; those of a nested object are
  `name.key`.
- Numbers in a list are `name_0`, `name_1`, ...; without a name `x_0`, `x_1`, ....
  Nested lists are read in order.
- More than MAX_VALUES numbers in a list (an image, an embedding) become five features:
  `name.count`, `name.mean`, `name.sd`, `name.min` and `name.max`.
- `{"b64": ...}` and other binary values become `name.bytes`, their length.
- A prediction is a number, text or boolean, alone or in lists of one. 2 to MAX_VALUES
  shares that add up to 1 are class probabilities, by their names or as classes "0",
  "1", .... Anything else is no prediction: an output has to be named.
"""

import json
import math
from collections.abc import Iterator, Sequence
from typing import Any

from monitor.contracts import NotUnderstood

MAX_VALUES = 100
MAX_FEATURES = 1_000  # of one row; further ones are left out
MAX_SUM_ERROR = 1e-3  # of class probabilities
SINGLE = "x"  # the name of values without one


def decoded(body: bytes) -> Any:
    """The JSON in a body. Raises NotUnderstood."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise NotUnderstood("the body is not JSON") from None


def features(value: Any, name: str = "") -> dict[str, Any]:
    """The features in the value of one row."""
    by_name: dict[str, Any] = {}
    for key, item in _named(value, name):
        if len(by_name) >= MAX_FEATURES:
            break
        by_name[key] = item
    return by_name


def _named(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        if set(value) == {"b64"} and isinstance(value["b64"], str):
            yield f"{name or SINGLE}.bytes", len(value["b64"].rstrip("=")) * 3 // 4
            return
        for key, item in value.items():
            yield from _named(item, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list):
        yield from _listed(flat(value), name or SINGLE)
    else:
        yield name or SINGLE, value


def _listed(values: list[Any], name: str) -> Iterator[tuple[str, Any]]:
    if len(values) == 1:
        yield from _named(values[0], name)
    elif len(values) <= MAX_VALUES:
        for i, item in enumerate(values):
            yield from _named(item, f"{name}_{i}")
    else:
        yield from _summary(values, name)


def _summary(values: Sequence[Any], name: str) -> Iterator[tuple[str, Any]]:
    yield f"{name}.count", len(values)
    numbers = [float(v) for v in values if _is_number(v) and math.isfinite(v)]
    if numbers:
        mean = math.fsum(numbers) / len(numbers)
        squares = math.fsum((x - mean) ** 2 for x in numbers)
        yield f"{name}.mean", mean
        yield f"{name}.sd", math.sqrt(squares / len(numbers))
        yield f"{name}.min", min(numbers)
        yield f"{name}.max", max(numbers)


def flat(value: Any) -> list[Any]:
    """The items of nested lists, in order; a single value alone."""
    items: list[Any] = []
    # a stack and no recursion: a hostile body may be nested deeply
    open_lists = [iter(value if isinstance(value, list) else [value])]
    while open_lists:
        for item in open_lists[-1]:
            if isinstance(item, list):
                open_lists.append(iter(item))
                break
            items.append(item)
        else:
            open_lists.pop()
    return items


def prediction(value: Any) -> Any:
    """The prediction in the response for one row; None when there is no single one."""
    while isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, str | bool) or _is_number(value):
        return value
    if isinstance(value, list):
        value = {str(i): share for i, share in enumerate(value)}
    if isinstance(value, dict) and _are_probabilities(list(value.values())):
        return value
    return None


def _are_probabilities(shares: list[Any]) -> bool:
    if not 2 <= len(shares) <= MAX_VALUES:
        return False
    if not all(_is_number(share) and 0 <= share <= 1 for share in shares):
        return False
    return abs(math.fsum(shares) - 1) < MAX_SUM_ERROR


def chosen(outputs: dict[str, Any], output: str | None) -> Any:
    """The prediction among several outputs: the named one, else the first that is one."""
    if output is not None:
        return prediction(outputs.get(output))
    if len(outputs) > 1:
        probabilities = prediction(outputs)
        if probabilities is not None:
            return probabilities
    for value in outputs.values():
        first = prediction(value)
        if first is not None:
            return first
    return None


def one_prediction(value: Any, output: str | None) -> Any:
    """The prediction in a value, which may be an object of several outputs."""
    if isinstance(value, dict):
        return chosen(value, output)
    return prediction(value)


def columns_to_rows(columns: dict[str, Any]) -> list[dict[str, Any]] | None:
    """Rows of columns that are lists of one length; None when they are not."""
    if not all(isinstance(values, list) for values in columns.values()):
        return None
    if len({len(values) for values in columns.values()}) != 1:
        return None
    rows = zip(*columns.values(), strict=True)
    return [dict(zip(columns, row, strict=True)) for row in rows]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
