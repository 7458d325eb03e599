"""Opening the DuckDB file: one owner, a locked-down engine, a known schema version, transactions that roll back."""

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from monitor.errors import StorageError
from monitor.sql import quote
from monitor.store.rows.wide_rows import ID_TYPE

SCHEMA_VERSION = 7
# each table keeps at least a block in memory: with 256 kB, as DuckDB has it, a thousand
# models took 268 MB
BLOCK_BYTES = 32_768

TABLES = """
CREATE TABLE meta(schema_version INTEGER, created TIMESTAMP);
CREATE TABLE spool_position(segment BIGINT, "offset" BIGINT);
CREATE TABLE idempotency("key" VARCHAR, body_hash VARCHAR, answer VARCHAR, noted_at TIMESTAMP);
CREATE TABLE accounting(
    model VARCHAR, kind VARCHAR, hour TIMESTAMP, received BIGINT, stored BIGINT, duplicate BIGINT,
    refused BIGINT, unchecked BIGINT DEFAULT 0
);
CREATE TABLE refusals(model VARCHAR, kind VARCHAR, hour TIMESTAMP, reason VARCHAR, n BIGINT);
CREATE TABLE quarantine(
    id BIGINT, noted_at TIMESTAMP, kind VARCHAR, model VARCHAR, line BIGINT, event_id VARCHAR, reason VARCHAR, raw VARCHAR
);
CREATE TABLE mistyped(
    model VARCHAR, hour TIMESTAMP, "column" VARCHAR, expected VARCHAR, came VARCHAR, "rows" BIGINT, sample VARCHAR
);
CREATE TABLE models(
    id INTEGER, name VARCHAR, task VARCHAR, prediction VARCHAR, created TIMESTAMP, reconstruction VARCHAR
);
CREATE TABLE features(model INTEGER, position INTEGER, name VARCHAR, field VARCHAR, kind VARCHAR);
CREATE TABLE layouts(id VARCHAR, definition VARCHAR);
CREATE TABLE model_layouts(model INTEGER, "column" VARCHAR, layout VARCHAR);
CREATE TABLE reference(
    model INTEGER, status VARCHAR, source VARCHAR, first_ts TIMESTAMP, last_ts TIMESTAMP, "rows" BIGINT,
    labelled BIGINT, set_at TIMESTAMP
);
CREATE TABLE reference_bins(
    model INTEGER, "column" VARCHAR, layout VARCHAR, bucket TIMESTAMP, bin INTEGER, n BIGINT
);
CREATE TABLE reference_moments(
    model INTEGER, "column" VARCHAR, layout VARCHAR, bucket TIMESTAMP, "rows" BIGINT, missing BIGINT, invalid BIGINT,
    "sum" DOUBLE, sum_sq DOUBLE, "min" DOUBLE, "max" DOUBLE
);
CREATE TABLE profile_bins(
    model INTEGER, segment VARCHAR, version VARCHAR, "column" VARCHAR, bucket TIMESTAMP, layout VARCHAR,
    bin INTEGER, n BIGINT
);
CREATE TABLE profile_moments(
    model INTEGER, segment VARCHAR, version VARCHAR, "column" VARCHAR, bucket TIMESTAMP, layout VARCHAR,
    "rows" BIGINT, missing BIGINT, invalid BIGINT, "sum" DOUBLE, sum_sq DOUBLE, "min" DOUBLE, "max" DOUBLE
);
CREATE TABLE segments(model INTEGER, feature VARCHAR, segment VARCHAR, "value" VARCHAR);
CREATE TABLE new_values(
    model INTEGER, version VARCHAR, "column" VARCHAR, "value" VARCHAR, n BIGINT, first_seen TIMESTAMP
);
CREATE TABLE detector_fits(model INTEGER, lane VARCHAR, starts TIMESTAMP, source VARCHAR, since TIMESTAMP, body VARCHAR);
CREATE TABLE detector_states(model INTEGER, until TIMESTAMP, body VARCHAR);
CREATE TABLE detector_evidence(model INTEGER, hour TIMESTAMP, lane VARCHAR, evidence DOUBLE);
CREATE TABLE detector_accepted(model INTEGER, noted_at TIMESTAMP, since TIMESTAMP, who VARCHAR);
CREATE TABLE detector_selftests(model INTEGER, noted_at TIMESTAMP, body VARCHAR);
CREATE TABLE importances(model INTEGER, noted_at TIMESTAMP, body VARCHAR);
CREATE TABLE evaluated(model INTEGER, until TIMESTAMP);
CREATE TABLE findings(model VARCHAR, "key" VARCHAR, noted_at TIMESTAMP, body VARCHAR);
CREATE TABLE alerts(id VARCHAR, model VARCHAR, state VARCHAR, since TIMESTAMP, last_seen TIMESTAMP, body VARCHAR);
CREATE TABLE transitions(alert VARCHAR, noted_at TIMESTAMP, body VARCHAR);
CREATE TABLE outbox(
    id VARCHAR, alert VARCHAR, channel VARCHAR, body VARCHAR, status VARCHAR, tries INTEGER, created TIMESTAMP,
    next_try TIMESTAMP, done TIMESTAMP, detail VARCHAR
);
CREATE TABLE api_keys(
    id VARCHAR, name VARCHAR, digest VARCHAR, scopes VARCHAR[], models VARCHAR[], created TIMESTAMP,
    expires TIMESTAMP, revoked TIMESTAMP, last_used TIMESTAMP
);
"""


def _ids_compressed(con: duckdb.DuckDBPyConnection) -> Iterator[str]:
    """Statements that give the ids of events and labels the compression of new tables; a column keeps the one it was made with."""
    found = con.execute(
        "SELECT table_name FROM duckdb_tables() WHERE regexp_full_match(table_name, '(events|labels)_\\d+')"
    )
    for (name,) in found.fetchall():
        table = quote(name)
        yield f"ALTER TABLE {table} ADD COLUMN compressed_id {ID_TYPE}"
        yield f"ALTER TABLE {table} ALTER COLUMN compressed_id TYPE VARCHAR USING event_id"
        yield f"ALTER TABLE {table} DROP COLUMN event_id"
        yield f"ALTER TABLE {table} RENAME COLUMN compressed_id TO event_id"


# what leads from one version to the next; each is run once, in one transaction
MIGRATIONS: dict[
    int, Iterable[str] | Callable[[duckdb.DuckDBPyConnection], Iterable[str]]
] = {
    2: (
        "ALTER TABLE accounting ADD COLUMN unchecked BIGINT DEFAULT 0",
        "CREATE TABLE refusals(model VARCHAR, kind VARCHAR, hour TIMESTAMP, reason VARCHAR, n BIGINT)",
        "ALTER TABLE quarantine ADD COLUMN id BIGINT",
        "UPDATE quarantine SET id = rowid + 1",
        "CREATE TABLE IF NOT EXISTS api_keys(id VARCHAR, name VARCHAR, digest VARCHAR, scopes VARCHAR[], models VARCHAR[], "
        "created TIMESTAMP, expires TIMESTAMP, revoked TIMESTAMP, last_used TIMESTAMP)",
    ),
    3: (
        # references of before have no hours: the detector learns from live traffic
        # until one is set anew
        *(
            f"ALTER TABLE {table} ADD COLUMN IF NOT EXISTS bucket TIMESTAMP DEFAULT TIMESTAMP '2000-01-01'"
            for table in ("reference_bins", "reference_moments")
        ),
        "CREATE TABLE IF NOT EXISTS detector_fits(model INTEGER, lane VARCHAR, starts TIMESTAMP, source VARCHAR, since TIMESTAMP, body VARCHAR)",
        "CREATE TABLE IF NOT EXISTS detector_states(model INTEGER, until TIMESTAMP, body VARCHAR)",
        "CREATE TABLE IF NOT EXISTS detector_evidence(model INTEGER, hour TIMESTAMP, lane VARCHAR, evidence DOUBLE)",
        "CREATE TABLE IF NOT EXISTS detector_accepted(model INTEGER, noted_at TIMESTAMP, since TIMESTAMP, who VARCHAR)",
    ),
    4: (
        'CREATE TABLE IF NOT EXISTS mistyped(model VARCHAR, hour TIMESTAMP, "column" VARCHAR, expected VARCHAR, came VARCHAR, "rows" BIGINT, '
        "sample VARCHAR)",
    ),
    5: (
        "CREATE TABLE IF NOT EXISTS detector_selftests(model INTEGER, noted_at TIMESTAMP, body VARCHAR)",
    ),
    # references of before have no reconstruction error until one is set anew
    6: (
        "ALTER TABLE models ADD COLUMN IF NOT EXISTS reconstruction VARCHAR",
        "CREATE TABLE IF NOT EXISTS importances(model INTEGER, noted_at TIMESTAMP, body VARCHAR)",
    ),
    7: _ids_compressed,
}


def open_database(path: Path, memory_limit: str = "256MB") -> duckdb.DuckDBPyConnection:
    """The database at `path`, created or checked, with the engine closed to files and network outside its folder.

    Raises StorageError, in one sentence, when it is held by another process, damaged,
    or of another schema version.
    """
    try:
        con = duckdb.connect(str(path), config={"default_block_size": BLOCK_BYTES})
    except duckdb.Error as error:
        raise StorageError(_why(path, str(error))) from None
    try:
        _lock_engine(con, path.parent, memory_limit)
        _check_schema(con, path)
    except BaseException:
        con.close()
        raise
    return con


@contextmanager
def transaction(con: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """A transaction that rolls back on any exception: COMMIT after a failed statement stores nothing and says nothing."""
    con.execute("BEGIN")
    try:
        yield
        con.execute("COMMIT")
    except duckdb.FatalException:
        raise  # nothing can be rolled back: the store closes every handle and reopens
    except BaseException:
        con.execute("ROLLBACK")
        raise


def _lock_engine(
    con: duckdb.DuckDBPyConnection, folder: Path, memory_limit: str
) -> None:
    # the order matters: nothing can be changed after lock_configuration
    literal = str(folder.resolve()).replace("'", "''")
    for statement in (
        "SET TimeZone = 'UTC'",
        f"SET memory_limit = '{memory_limit}'",
        # each statement in the thread that asks: with a second one an insert is copied
        # once more to keep its order
        "SET threads = 1",
        # the loop checkpoints every minute; inside a COMMIT it would be the slowest
        # part of a load
        "SET checkpoint_threshold = '128MB'",
        f"SET temp_directory = '{literal}/tmp'",  # noqa: S108 (inside the data directory)
        "SET preserve_insertion_order = true",
        "SET autoinstall_known_extensions = false",
        "SET autoload_known_extensions = false",
        "SET python_enable_replacements = false",
        f"SET allowed_directories = ['{literal}']",
        "SET enable_external_access = false",
        "SET lock_configuration = true",
    ):
        con.execute(statement)


def _check_schema(con: duckdb.DuckDBPyConnection, path: Path) -> None:
    tables = {
        row[0]
        for row in con.execute("SELECT table_name FROM duckdb_tables()").fetchall()
    }
    if not tables:
        with transaction(con):
            for statement in TABLES.split(";\n"):
                con.execute(statement)  # one at a time
            con.execute(
                "INSERT INTO meta VALUES (?, now()::TIMESTAMP)", [SCHEMA_VERSION]
            )
            con.execute("INSERT INTO spool_position VALUES (0, 0)")
        return
    found = (
        con.execute("SELECT max(schema_version) FROM meta").fetchone()
        if "meta" in tables
        else None
    )
    if not found or found[0] is None:
        raise StorageError(
            f"{path} is a DuckDB file, but not one of driftdeck's; choose another --data directory"
        )
    if found[0] > SCHEMA_VERSION:
        raise StorageError(
            f"{path} has schema version {found[0]}, newer than this driftdeck's {SCHEMA_VERSION}; "
            f"use the driftdeck that wrote it, or another --data directory"
        )
    for version in range(found[0] + 1, SCHEMA_VERSION + 1):
        with transaction(con):
            steps = MIGRATIONS[version]
            for statement in steps(con) if callable(steps) else steps:
                con.execute(statement)
            con.execute("UPDATE meta SET schema_version = ?", [version])


def _why(path: Path, message: str) -> str:
    held = re.search(r"Conflicting lock is held in (.+?) \(PID (\d+)\)", message)
    if held:
        return f"{path} is held by another process (PID {held[2]}); stop it, or talk to it with --url"
    if "not a valid DuckDB database" in message:
        return f"{path} is not a DuckDB database; move it away or choose another --data directory"
    if "Permission denied" in message:
        return f"{path} cannot be opened: permission denied; check its owner and mode"
    if "Corrupt" in message or "could not read enough" in message.lower():
        return f"{path} is damaged ({message.splitlines()[0][:160]}); restore a backup; the spool replays what came after it"
    return f"{path} cannot be opened: {message.splitlines()[0][:200]}"
