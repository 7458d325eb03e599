"""The commands `keys`: create, list, revoke."""

from typing import Annotated, Any

import typer

from monitor.cli.options import (
    DEFAULT_DATA,
    AsJson,
    ConfigFile,
    Data,
    Url,
    app,
    config_file,
    print_result,
)

keys_app = typer.Typer(
    no_args_is_help=True, help="API keys for services, dashboards and people."
)
app.add_typer(keys_app, name="keys")


@keys_app.command("create")
def create(
    name: Annotated[
        str, typer.Option("--name", help="Purpose of the key, e.g. checkout-service.")
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
        str | None, typer.Option("--expires", help="E.g. 90d (default: never).")
    ] = None,
    url: Url = None,
    data: Data = DEFAULT_DATA,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Create a key and print its secret, this once."""
    from monitor.send.session import connect

    request = {
        "name": name,
        "scopes": scope,
        "models": model or None,
        "expires_in": expires,
    }
    with connect(url, data, config_file(config)) as session:
        key = session.request("POST", "/v1/keys", json=request)
    typer.echo("save the secret now: it is not shown again, and not stored", err=True)
    print_result(key, as_json, key["secret"])


@keys_app.command("list")
def list_keys(
    url: Url = None,
    data: Data = DEFAULT_DATA,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """List the keys with scopes, models, expiry and last use."""
    from monitor.send.session import connect

    with connect(url, data, config_file(config), existing=True) as session:
        result = session.request("GET", "/v1/keys")
    if as_json:
        print_result(result, as_json, "")
    else:
        _print_keys(result["keys"])


@keys_app.command("revoke")
def revoke(
    key: Annotated[
        str,
        typer.Argument(
            help="Id of the key, or its name if only one active key has it."
        ),
    ],
    url: Url = None,
    data: Data = DEFAULT_DATA,
    config: ConfigFile = None,
    as_json: AsJson = False,
) -> None:
    """Revoke a key: from now on its requests are unauthorized."""
    from urllib.parse import quote

    from monitor.send.session import connect

    with connect(url, data, config_file(config), existing=True) as session:
        result = session.request("DELETE", f"/v1/keys/{quote(key, safe='')}")
    sentence = f"key {result['id']} ({result['name']}) is revoked"
    print_result(result, as_json, sentence)


def _print_keys(keys: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    if not keys:
        console.print("no keys yet: driftdeck keys create --name NAME --scope admin")
        return
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
    console.print(table)
