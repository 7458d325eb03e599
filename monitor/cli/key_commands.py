"""Verbs on keys: make one, list them, revoke one."""

from typing import Annotated, Any

import typer

from monitor.cli.options import (
    HERE,
    AsJson,
    ConfigFile,
    Data,
    Url,
    app,
    config_file,
    say,
)

keys_app = typer.Typer(
    no_args_is_help=True, help="Keys for services, dashboards and people."
)
app.add_typer(keys_app, name="keys")


@keys_app.command("create")
def create(
    name: Annotated[
        str, typer.Option("--name", help="What the key is for, e.g. checkout-service.")
    ],
    scope: Annotated[
        list[str],
        typer.Option("--scope", help="ingest, read or admin; may be repeated."),
    ],
    model: Annotated[
        list[str] | None,
        typer.Option("--model", help="Only this model; may be repeated."),
    ] = None,
    expires: Annotated[
        str | None, typer.Option("--expires", help="e.g. 90d; never when left out.")
    ] = None,
    url: Url = None,
    data: Data = HERE,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Make a key and print its secret, this once."""
    from monitor.send.session import connect

    wanted = {
        "name": name,
        "scopes": scope,
        "models": model or None,
        "expires_in": expires,
    }
    with connect(url, data, config_file(config)) as session:
        key = session.request("POST", "/v1/keys", json=wanted)
    typer.echo("keep the secret now: it is not shown again, and not stored", err=True)
    say(key, as_json, key["secret"])


@keys_app.command("list")
def list_keys(
    url: Url = None,
    data: Data = HERE,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Every key: what it may do, until when, and when it was last used."""
    from monitor.send.session import connect

    with connect(url, data, config_file(config), existing=True) as session:
        answer = session.request("GET", "/v1/keys")
    say(answer, as_json, "") if as_json else _print_keys(answer["keys"])


@keys_app.command("revoke")
def revoke(
    key: Annotated[
        str,
        typer.Argument(
            help="The key's id, or its name where only one live key has it."
        ),
    ],
    url: Url = None,
    data: Data = HERE,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Refuse a key from now on."""
    from urllib.parse import quote

    from monitor.send.session import connect

    with connect(url, data, config_file(config), existing=True) as session:
        answer = session.request("DELETE", f"/v1/keys/{quote(key, safe='')}")
    say(answer, as_json, f"key {answer['id']} ({answer['name']}) is revoked")


def _print_keys(keys: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(
        "id", "name", "scopes", "models", "state", "expires", "last used", box=None
    )
    for key in keys:
        table.add_row(
            key["id"],
            key["name"],
            ", ".join(key["scopes"]),
            ", ".join(key["models"]) if key["models"] else "all",
            key["state"],
            key["expires"] or "never",
            key["last_used"] or "never",
        )
    Console().print(
        table
        if keys
        else "no keys yet: driftdeck keys create --name NAME --scope admin"
    )
