"""The tables of the database, and the steps from one schema version to the next."""

from collections.abc import Callable, Iterable, Iterator

import duckdb

from monitor.sql import quote

SCHEMA_VERSION = 8
# DuckDB's own choice for ids is DICT_FSST: 1.9 to 3.3 µs each at the checkpoint. zstd
# needs 0.5 to 0.8, and saves 1 to 3 bytes of 16 to 24 less (UUIDs of version 7 and 4).
ID_TYPE = "VARCHAR USING COMPRESSION zstd"

TABLES = """
CREATE TABLE meta(schema_version INTEGER, created TIMESTAMP);
CREATE TABLE spool_position(segment BIGINT, "offset" BIGINT);
CREATE TABLE idempotency(
    "key" VARCHAR, body_hash VARCHAR, answer VARCHAR, noted_at TIMESTAMP
);
CREATE TABLE accounting(
    model VARCHAR, kind VARCHAR, hour TIMESTAMP, received BIGINT, stored BIGINT,
    duplicate BIGINT, refused BIGINT, unchecked BIGINT DEFAULT 0
);
CREATE TABLE refusals(
    model VARCHAR, kind VARCHAR, hour TIMESTAMP, reason VARCHAR, n BIGINT
);
CREATE TABLE quarantine(
    id BIGINT, noted_at TIMESTAMP, kind VARCHAR, model VARCHAR, line BIGINT,
    event_id VARCHAR, reason VARCHAR, raw VARCHAR
);
CREATE TABLE quarantine_number("last" BIGINT);
CREATE TABLE mistyped(
    model VARCHAR, hour TIMESTAMP, "column" VARCHAR, expected VARCHAR, came VARCHAR,
    "rows" BIGINT, sample VARCHAR
);
CREATE TABLE models(
    id INTEGER, name VARCHAR, task VARCHAR, prediction VARCHAR, created TIMESTAMP,
    reconstruction VARCHAR
);
CREATE TABLE features(
    model INTEGER, position INTEGER, name VARCHAR, field VARCHAR, kind VARCHAR
);
CREATE TABLE layouts(id VARCHAR, definition VARCHAR);
CREATE TABLE model_layouts(model INTEGER, "column" VARCHAR, layout VARCHAR);
CREATE TABLE reference(
    model INTEGER, status VARCHAR, source VARCHAR, first_ts TIMESTAMP,
    last_ts TIMESTAMP, "rows" BIGINT, labelled BIGINT, set_at TIMESTAMP
);
CREATE TABLE reference_bins(
    model INTEGER, "column" VARCHAR, layout VARCHAR, bucket TIMESTAMP, bin INTEGER,
    n BIGINT
);
CREATE TABLE reference_moments(
    model INTEGER, "column" VARCHAR, layout VARCHAR, bucket TIMESTAMP, "rows" BIGINT,
    missing BIGINT, invalid BIGINT, "sum" DOUBLE, sum_sq DOUBLE, "min" DOUBLE,
    "max" DOUBLE
);
CREATE TABLE profile_bins(
    model INTEGER, segment VARCHAR, version VARCHAR, "column" VARCHAR,
    bucket TIMESTAMP, layout VARCHAR, bin INTEGER, n BIGINT
);
CREATE TABLE profile_moments(
    model INTEGER, segment VARCHAR, version VARCHAR, "column" VARCHAR,
    bucket TIMESTAMP, layout VARCHAR, "rows" BIGINT, missing BIGINT, invalid BIGINT,
    "sum" DOUBLE, sum_sq DOUBLE, "min" DOUBLE, "max" DOUBLE
);
CREATE TABLE segments(
    model INTEGER, feature VARCHAR, segment VARCHAR, "value" VARCHAR
);
CREATE TABLE new_values(
    model INTEGER, version VARCHAR, "column" VARCHAR, "value" VARCHAR, n BIGINT,
    first_seen TIMESTAMP
);
CREATE TABLE detector_fits(
    model INTEGER, lane VARCHAR, starts TIMESTAMP, source VARCHAR, since TIMESTAMP,
    body VARCHAR
);
CREATE TABLE detector_states(model INTEGER, until TIMESTAMP, body VARCHAR);
CREATE TABLE detector_evidence(
    model INTEGER, hour TIMESTAMP, lane VARCHAR, evidence DOUBLE
);
CREATE TABLE detector_accepted(
    model INTEGER, noted_at TIMESTAMP, since TIMESTAMP, who VARCHAR
);
CREATE TABLE detector_selftests(model INTEGER, noted_at TIMESTAMP, body VARCHAR);
CREATE TABLE importances(model INTEGER, noted_at TIMESTAMP, body VARCHAR);
CREATE TABLE evaluated(model INTEGER, until TIMESTAMP);
CREATE TABLE findings(
    model VARCHAR, "key" VARCHAR, noted_at TIMESTAMP, body VARCHAR
);
CREATE TABLE alerts(
    id VARCHAR, model VARCHAR, state VARCHAR, since TIMESTAMP, last_seen TIMESTAMP,
    body VARCHAR
);
CREATE TABLE transitions(alert VARCHAR, noted_at TIMESTAMP, body VARCHAR);
CREATE TABLE outbox(
    id VARCHAR, alert VARCHAR, channel VARCHAR, body VARCHAR, status VARCHAR,
    tries INTEGER, created TIMESTAMP, next_try TIMESTAMP, done TIMESTAMP,
    detail VARCHAR
);
CREATE TABLE api_keys(
    id VARCHAR, name VARCHAR, digest VARCHAR, scopes VARCHAR[], models VARCHAR[],
    created TIMESTAMP, expires TIMESTAMP, revoked TIMESTAMP, last_used TIMESTAMP
);
"""


def _compress_ids(con: duckdb.DuckDBPyConnection) -> Iterator[str]:
    """Yield statements that compress the ids of events and labels as new tables do.

    A column keeps the compression that it was created with.
    """
    names = con.execute(
        "SELECT table_name FROM duckdb_tables() "
        "WHERE regexp_full_match(table_name, '(events|labels)_\\d+')"
    ).fetchall()
    for (name,) in names:
        table = quote(name)
        yield f"ALTER TABLE {table} ADD COLUMN compressed_id {ID_TYPE}"
        yield (
            f"ALTER TABLE {table} ALTER COLUMN compressed_id "
            "TYPE VARCHAR USING event_id"
        )
        yield f"ALTER TABLE {table} DROP COLUMN event_id"
        yield f"ALTER TABLE {table} RENAME COLUMN compressed_id TO event_id"


Steps = Iterable[str] | Callable[[duckdb.DuckDBPyConnection], Iterable[str]]

# by the version that they lead to; each is run once, in one transaction
MIGRATIONS: dict[int, Steps] = {
    2: (
        "ALTER TABLE accounting ADD COLUMN unchecked BIGINT DEFAULT 0",
        "CREATE TABLE refusals(model VARCHAR, kind VARCHAR, hour TIMESTAMP, "
        "reason VARCHAR, n BIGINT)",
        "ALTER TABLE quarantine ADD COLUMN id BIGINT",
        "UPDATE quarantine SET id = rowid + 1",
        "CREATE TABLE IF NOT EXISTS api_keys(id VARCHAR, name VARCHAR, "
        "digest VARCHAR, scopes VARCHAR[], models VARCHAR[], created TIMESTAMP, "
        "expires TIMESTAMP, revoked TIMESTAMP, last_used TIMESTAMP)",
    ),
    # a reference of version 2 has no hours: until another one is set, the detector
    # learns from live traffic
    3: (
        "ALTER TABLE reference_bins ADD COLUMN IF NOT EXISTS "
        "bucket TIMESTAMP DEFAULT TIMESTAMP '2000-01-01'",
        "ALTER TABLE reference_moments ADD COLUMN IF NOT EXISTS "
        "bucket TIMESTAMP DEFAULT TIMESTAMP '2000-01-01'",
        "CREATE TABLE IF NOT EXISTS detector_fits(model INTEGER, lane VARCHAR, "
        "starts TIMESTAMP, source VARCHAR, since TIMESTAMP, body VARCHAR)",
        "CREATE TABLE IF NOT EXISTS detector_states(model INTEGER, "
        "until TIMESTAMP, body VARCHAR)",
        "CREATE TABLE IF NOT EXISTS detector_evidence(model INTEGER, "
        "hour TIMESTAMP, lane VARCHAR, evidence DOUBLE)",
        "CREATE TABLE IF NOT EXISTS detector_accepted(model INTEGER, "
        "noted_at TIMESTAMP, since TIMESTAMP, who VARCHAR)",
    ),
    4: (
        "CREATE TABLE IF NOT EXISTS mistyped(model VARCHAR, hour TIMESTAMP, "
        '"column" VARCHAR, expected VARCHAR, came VARCHAR, "rows" BIGINT, '
        "sample VARCHAR)",
    ),
    5: (
        "CREATE TABLE IF NOT EXISTS detector_selftests(model INTEGER, "
        "noted_at TIMESTAMP, body VARCHAR)",
    ),
    # a reference of version 5 has no reconstruction error until another one is set
    6: (
        "ALTER TABLE models ADD COLUMN IF NOT EXISTS reconstruction VARCHAR",
        "CREATE TABLE IF NOT EXISTS importances(model INTEGER, "
        "noted_at TIMESTAMP, body VARCHAR)",
    ),
    7: _compress_ids,
    # the number of a quarantined row is never given again, though the row was deleted
    8: (
        'CREATE TABLE IF NOT EXISTS quarantine_number("last" BIGINT)',
        "INSERT INTO quarantine_number SELECT coalesce(max(id), 0) FROM quarantine",
    ),
}
