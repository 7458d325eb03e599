"""Request for an analysis of a model, with a spinner while the server computes."""

from pathlib import Path
from typing import Any

from monitor.cli.options import config_file, quote_name


def request_analysis(
    method: str,
    analysis: str,
    model: str,
    params: dict[str, Any],
    url: str | None,
    data: Path,
    config: Path | None,
    progress: str,
    content: bytes | None = None,
) -> dict[str, Any]:
    """Send the request to a running server, or to one in this process."""
    from rich.console import Console

    from monitor.send.session import connect

    path = f"/v1/models/{quote_name(model)}/{analysis}"
    with (
        connect(url, data, config_file(config), existing=True) as session,
        Console(stderr=True).status(progress),
    ):
        response: dict[str, Any] = session.request(
            method, path, params=params, content=content
        )
    return response
