"""Names of models and features that are hard to carry, and rows that have them all."""

from typing import Any
from urllib.parse import quote

from events import event

from monitor.server.server import Server

NAMES = (
    "plain",
    "Plain",
    "PLAIN",
    "with space",
    " lead",
    "trail ",
    'quote"double',
    "quote'single",
    "back\\slash",
    "a/b",
    "a/columns/b",
    "x/overview",
    "/lead",
    "trail/",
    "columns",
    "overview",
    "service",
    "findings",
    "..",
    ".",
    "%2F",
    "a%20b",
    "a?b=c&d",
    "a#b",
    "dot.ted",
    "features.age",
    "select",
    "drop table events; --",
    "order by 1",
    "rowid",
    "at",
    "event_id",
    "航班延誤",
    "日本語モデル",
    "модель",
    "नमूना",
    "نموذج",
    "מודל",
    "é",
    "e\u0301",
    "ß",
    "ss",
    "İ",
    "i̇",
    "🛫✈️",
    "👩‍👩‍👧",
    "\u202eRTL",
    "\u200bzero",
    "tab\there",
    "new\nline",
    "nul\x00",
    "$x$",
    "*b* _i_ `c`",
    "<b>html</b>",
    "[a](b)",
    ":smile:",
    "{0}",
    "{name}",
    "$where",
    "a=b",
    "ﷺ" * 3,
    "长" * 200,
    "z" * 200,
)


ALL = {name: float(i) for i, name in enumerate(NAMES)}


def row(i: int, model: str, **changes: Any) -> dict[str, Any]:
    return event(
        i, event_id=f"{NAMES.index(model)}-{i}", model=model, features=ALL, **changes
    )


def encoded(name: str) -> str:
    """A name as a part of an address; dots too, because ".." alone would be a step up."""
    return quote(name, safe="").replace(".", "%2E")


def assert_kept(server: Server, times: int) -> None:
    """Every model of NAMES is there under its own name, with `times` rows whose values lie under theirs."""
    assert set(server.store.models()) == set(NAMES)
    for name, model in server.store.models().items():
        fields = {f.name: f.field for f in model.schema.features}
        assert set(fields) == set(NAMES)
        columns = ", ".join(f'"{fields[n]}"' for n in NAMES)
        assert (
            server.store.query(f"SELECT {columns} FROM {model.events}")
            == [tuple(ALL.values())] * times
        ), name
