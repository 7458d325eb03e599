"""Values of a request or an answer as features and a prediction; the same rules for every format.

- A number, text or boolean under a name is one feature. A nested object's are
  `name.key`.
- Numbers in a list are `name_0`, `name_1`, ...; without a name `x_0`, `x_1`, ....
  Nested lists are read in order.
- More than MAX_VALUES numbers in one list (an image, an embedding) become five
  features: `name.count`, `name.mean`,
  `name.sd`, `name.min` and `name.max`.
- `{"b64": ...}` and other binary values become `name.bytes`, their length.
- A prediction is a number, text or boolean, alone or in lists of one; shares that add
  up to 1, 2 to MAX_VALUES of them,
  are class probabilities, by their names or as classes "0", "1", .... Anything else is no prediction: name an output.
"""

import json
import math
from collections.abc import Iterator, Sequence
from typing import Any

from monitor.contracts import NotUnderstood

MAX_VALUES = 100
MAX_FEATURES = 1_000  # of one row; what follows is left out
SINGLE = "x"  # the name of values without one


def decoded(body: bytes) -> Any:
    """The JSON in a body. Raises NotUnderstood."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise NotUnderstood("the body is not JSON") from None


def features(value: Any, name: str = "") -> dict[str, Any]:
    """The features in one row's value."""
    found: dict[str, Any] = {}
    for key, item in _named(value, name):
        if len(found) >= MAX_FEATURES:
            break
        found[key] = item
    return found


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
        yield f"{name}.mean", mean
        yield (
            f"{name}.sd",
            math.sqrt(math.fsum((x - mean) ** 2 for x in numbers) / len(numbers)),
        )
        yield f"{name}.min", min(numbers)
        yield f"{name}.max", max(numbers)


def flat(value: Any) -> list[Any]:
    """The items of nested lists, in order; a single value alone."""
    found: list[Any] = []
    waiting = [iter(value if isinstance(value, list) else [value])]
    while waiting:
        for item in waiting[-1]:
            if isinstance(item, list):
                waiting.append(iter(item))
                break
            found.append(item)
        else:
            waiting.pop()
    return found


def prediction(value: Any) -> Any:
    """The prediction in one row's answer; None when there is no single one."""
    while isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, str | bool) or _is_number(value):
        return value
    shares = (
        value
        if isinstance(value, dict)
        else dict(zip(map(str, range(len(value))), value, strict=True))
        if isinstance(value, list)
        else {}
    )
    if 2 <= len(shares) <= MAX_VALUES and all(
        _is_number(s) and 0 <= s <= 1 for s in shares.values()
    ):
        return shares if abs(math.fsum(shares.values()) - 1) < 1e-3 else None
    return None


def chosen(answer: dict[str, Any], output: str | None) -> Any:
    """The prediction among several outputs: the one named, else the first that is one."""
    if output is not None:
        return prediction(answer.get(output))
    whole = prediction(answer) if len(answer) > 1 else None
    return (
        whole
        if whole is not None
        else next(
            (p for v in answer.values() if (p := prediction(v)) is not None), None
        )
    )


def columns_to_rows(columns: dict[str, Any]) -> list[dict[str, Any]] | None:
    """Rows of columns that are lists of one length; None when they are not."""
    lengths = {
        len(values) if isinstance(values, list) else -1 for values in columns.values()
    }
    if len(lengths) != 1 or -1 in lengths:
        return None
    return [
        dict(zip(columns, row, strict=True))
        for row in zip(*columns.values(), strict=True)
    ]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
