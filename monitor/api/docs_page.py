"""The page /docs: every route of the OpenAPI description, as HTML without scripts."""

import json
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

from fastapi import FastAPI

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem;
  padding: 0 1rem; color-scheme: light dark; }
summary { cursor: pointer; } code, pre { font: 13px ui-monospace, monospace; }
pre { overflow: auto; padding: .6rem; border: 1px solid #8884; border-radius: .4rem; }
details { border-bottom: 1px solid #8884; padding: .5rem 0; }
table { border-collapse: collapse; } td { padding: .2rem 1rem .2rem 0; vertical-align: top; }
b { display: inline-block; min-width: 4rem; }
"""


def docs_page(app: FastAPI) -> str:
    """Return the page; it works offline and asks no other host for anything."""
    description = app.openapi()
    info = description["info"]
    title = f"{info['title']} {info['version']}"
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        "<meta name=viewport content='width=device-width, initial-scale=1'>",
        f"<title>{escape(title)}: API</title><style>{STYLE}</style>",
        f"<h1>{escape(title)}: API</h1><p>{escape(info.get('description', ''))}</p>",
        "<p>The same as a file: <a href=/openapi.json>/openapi.json</a></p>",
    ]
    for tag, routes in _by_tag(description["paths"]).items():
        parts.append(f"<h2>{escape(tag)}</h2>")
        parts += [_route(*route) for route in routes]
    return "\n".join(parts)


Route = tuple[str, str, Mapping[str, Any]]  # method, path, operation


def _by_tag(paths: Mapping[str, Mapping[str, Any]]) -> dict[str, list[Route]]:
    tags: dict[str, list[Route]] = {}
    for path, methods in paths.items():
        for method, operation in methods.items():
            tag = (operation.get("tags") or ["other"])[0]
            tags.setdefault(tag, []).append((method.upper(), path, operation))
    return tags


def _route(method: str, path: str, operation: Mapping[str, Any]) -> str:
    head = f"<b>{method}</b> <code>{escape(path)}</code>"
    rows = [_parameter(each) for each in operation.get("parameters", ())]
    table = f"<table>{''.join(rows)}</table>" if rows else ""
    bodies = "".join(_bodies(operation.get("requestBody", {})))
    return (
        f"<details><summary>{head} {escape(operation.get('summary', ''))}</summary>"
        f"<p>{escape(operation.get('description', ''))}</p>{table}{bodies}</details>"
    )


def _parameter(parameter: Mapping[str, Any]) -> str:
    schema = parameter.get("schema", {})
    kind = schema.get("type") or " or ".join(
        str(each.get("type", "")) for each in schema.get("anyOf", ())
    )
    note = parameter.get("description") or schema.get("description") or ""
    place = "required" if parameter.get("required") else "optional"
    return (
        f"<tr><td><code>{escape(parameter['name'])}</code></td>"
        f"<td>{escape(parameter['in'])}, {place}</td>"
        f"<td>{escape(kind)}</td><td>{escape(note)}</td></tr>"
    )


def _bodies(request_body: Mapping[str, Any]) -> Iterator[str]:
    for kind, content in request_body.get("content", {}).items():
        yield f"<p>Body <code>{escape(kind)}</code></p>"
        for example in content.get("examples", {}).values():
            value = example.get("value", "")
            text = value if isinstance(value, str) else json.dumps(value, indent=2)
            yield f"<pre>{escape(text)}</pre>"
