"""The command `kafka`: events or labels from a topic."""

import os
import signal
from contextlib import suppress
from typing import Annotated, Literal

import typer

from monitor.cli.options import (
    DEFAULT_DATA,
    AsJson,
    Data,
    Model,
    Url,
    app,
    print_result,
)
from monitor.errors import DriftdeckError, InvalidRequest, Unreachable


@app.command()
def kafka(
    brokers: Annotated[
        str, typer.Option("--brokers", help="host:port, several with commas.")
    ],
    topic: Annotated[str, typer.Option("--topic", help="The topic to read.")],
    group: Annotated[
        str,
        typer.Option(
            "--group", help="Consumer group; its members share the partitions."
        ),
    ] = "driftdeck",
    kind: Annotated[
        Literal["events", "labels"],
        typer.Option("--kind", help="Content of the messages."),
    ] = "events",
    model: Model = None,
    options: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="Option of librdkafka as KEY=VALUE; env:NAME reads the environment.",
        ),
    ] = None,
    url: Url = None,
    data: Data = DEFAULT_DATA,
    as_json: AsJson = False,
) -> None:
    """Log predictions or labels from a Kafka topic until Ctrl-C, each message once."""
    from monitor.send.session import connect
    from monitor.server.address import announced

    try:
        from confluent_kafka import KafkaException

        from monitor.send.kafka import Reader
    except ImportError as error:
        raise DriftdeckError(
            f"Kafka needs its package ({error.name} is missing):"
            " pip install 'driftdeck[kafka]'"
        ) from None
    address = url or announced(data)
    if address is None:
        raise Unreachable(
            "this sends to a running server; start one with `driftdeck up`,"
            " or name one with --url"
        )
    settings = {"bootstrap.servers": brokers, "group.id": group}
    settings |= _settings(options or [])
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with connect(address, data, None) as session:
        # far below max.poll.interval.ms: a hanging server costs no membership
        session.client.timeout = 30.0
        try:
            reader = Reader(
                settings,
                topic,
                session,
                kind,
                model,
                lambda text: typer.echo(text, err=True),
            )
        except KafkaException as error:
            raise InvalidRequest(f"Kafka: {error.args[0].str()}") from None
        typer.echo(f"reading {topic} as {group}; Ctrl-C ends it", err=True)
        try:
            with suppress(KeyboardInterrupt):
                reader.run()
        finally:
            reader.close()
    counts = reader.counts
    result = {
        "accepted": counts.accepted,
        "refused": counts.refused,
        "already": counts.already,
    }
    print_result(
        result,
        as_json,
        f"{counts.accepted:,} {kind} accepted, {counts.refused:,} refused",
    )


def _settings(pairs: list[str]) -> dict[str, str]:
    """Read options of librdkafka; raises InvalidRequest for one without a value."""
    settings = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not name or not equals:
            raise InvalidRequest(
                "--set needs KEY=VALUE, e.g. --set security.protocol=SASL_SSL"
            )
        if value.startswith("env:"):
            variable = value.removeprefix("env:")
            if variable not in os.environ:
                raise InvalidRequest(
                    f"--set {name}: the environment variable {variable} is not set"
                )
            value = os.environ[variable]
        settings[name] = value
    return settings
