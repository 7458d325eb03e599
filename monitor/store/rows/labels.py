"""Labels beside their events: stored as received, joined when both are there, then corrected.

`joined` is true for the one label of an event that counts, false while its event has
not arrived, and null for a label that was replaced: it stays, so that its repeat is a
duplicate. The rows lie in the order in which they were received.
"""

from contextlib import ExitStack

import duckdb
import numpy as np
import pyarrow as pa

from monitor.store.database import registered
from monitor.store.model import Model

# of several labels of one event the latest counts, of equal times the last received
LATEST = (
    "QUALIFY row_number() OVER "
    "(PARTITION BY l.event_id ORDER BY l.ts DESC, l.rowid DESC) = 1"
)
LABEL_NUMBER = (
    "CASE label WHEN 'true' THEN 1.0 WHEN 'false' THEN 0.0 "
    "ELSE TRY_CAST(label AS DOUBLE) END"
)
JOINED_COLUMNS = (
    "l.rowid AS nth, l.event_id, l.label, l.number, l.ts AS label_ts, "
    "e.* EXCLUDE (event_id)"
)


def insert_labels(con: duckdb.DuckDBPyConnection, model: Model, rows: pa.Table) -> int:
    """Store labels (event_id, label, ts) that are not stored yet, each once, in order.

    Returns how many were stored.
    """
    order = pa.array(np.arange(rows.num_rows))
    with registered(con, rows.append_column("nth", order), "label_rows"):
        # The stored labels of these events first, as they are few: the comparison is
        # not with all labels of the model.
        ((added,),) = con.execute(
            "WITH present AS (SELECT event_id, label, ts "
            f"FROM {model.labels} SEMI JOIN label_rows USING (event_id)) "
            f"INSERT INTO {model.labels} BY NAME "
            f"SELECT event_id, label, {LABEL_NUMBER} AS number, ts, false AS joined "
            "FROM (SELECT event_id, label, ts, min(nth) AS nth "
            "FROM label_rows GROUP BY ALL) "
            "ANTI JOIN present USING (event_id, label, ts) ORDER BY nth"
        ).fetchall()
        return int(added)


def has_unmatched(con: duckdb.DuckDBPyConnection, model: Model) -> bool:
    """True while any label of the model has no event."""
    ((unmatched,),) = con.execute(
        f"SELECT count(*) FROM {model.labels} WHERE NOT joined"
    ).fetchall()
    return bool(unmatched)


def match_labels(
    con: duckdb.DuckDBPyConnection,
    model: Model,
    columns: str,
    new_labels: pa.Table | None,
    new_events: pa.Table | None,
) -> int:
    """Join new labels to all events, and unmatched ones to new events; return how many.

    Leaves two temporary tables: `matched` has events with their labels, `earlier` the
    same with the labels that are replaced. Of the labels of one event the one with the
    latest `ts` counts, of several with the same the one that was received last, however
    the loads were cut. `columns` is SQL for the columns of a stored event;
    `new_events` has those and no others.
    """
    parts = []
    with ExitStack() as tables:
        if new_labels is not None and new_labels.num_rows:
            ids = new_labels.select(["event_id"])
            tables.enter_context(registered(con, ids, "new_labels"))
            parts.append(_with_all_events(model, columns))
        if new_events is not None and new_events.num_rows:
            tables.enter_context(registered(con, new_events, "new_events"))
            parts.append(_with_new_events(model, others=bool(parts)))
        if not parts:
            return 0
        union = " UNION ALL BY NAME ".join(f"(FROM ({part}))" for part in parts)
        con.execute(f"CREATE OR REPLACE TEMP TABLE matched AS {union}")
    ((matched,),) = con.execute("SELECT count(*) FROM matched").fetchall()
    if matched:
        _replace_earlier(con, model)
    return int(matched)


def _with_all_events(model: Model, columns: str) -> str:
    """Return SQL that joins the events of `new_labels` to their labels."""
    among = "SELECT event_id FROM new_labels"
    # the few events first: a join that built on all events would need millions of ids
    # in memory
    events = f"(SELECT {columns} FROM {model.events} WHERE event_id IN ({among}))"
    return (
        f"SELECT {JOINED_COLUMNS} FROM {model.labels} l "
        f"JOIN {events} e ON l.event_id = e.event_id "
        f"WHERE NOT l.joined AND l.event_id IN ({among}) {LATEST}"
    )


def _with_new_events(model: Model, others: bool) -> str:
    """Return SQL that joins `new_events` to labels, with `others` to those not new alone."""
    condition = "NOT l.joined"
    if others:
        condition += " AND l.event_id NOT IN (SELECT event_id FROM new_labels)"
    return (
        f"SELECT {JOINED_COLUMNS} FROM {model.labels} l "
        f"JOIN new_events e ON l.event_id = e.event_id WHERE {condition} {LATEST}"
    )


def _replace_earlier(con: duckdb.DuckDBPyConnection, model: Model) -> None:
    """Let the labels in `matched` replace the joined ones of the same events."""
    labels = model.labels
    con.execute(
        "CREATE OR REPLACE TEMP TABLE earlier AS "
        "SELECT l.event_id, l.label, l.number, l.ts AS label_ts, "
        "m.* EXCLUDE (nth, event_id, label, number, label_ts) "
        f"FROM {labels} l JOIN matched m ON l.event_id = m.event_id WHERE l.joined"
    )
    con.execute(
        f"UPDATE {labels} SET joined = NULL "
        "WHERE NOT joined AND event_id IN (SELECT event_id FROM matched)"
    )
    # a label that was joined with the same ts was received in an earlier load: it is
    # replaced
    con.execute(
        "DELETE FROM matched WHERE event_id IN "
        "(SELECT e.event_id FROM earlier e WHERE e.label_ts > matched.label_ts)"
    )
    con.execute(
        "DELETE FROM earlier WHERE event_id NOT IN (SELECT event_id FROM matched)"
    )
    con.execute(
        f"UPDATE {labels} SET joined = NULL "
        "WHERE joined AND event_id IN (SELECT event_id FROM earlier)"
    )
    con.execute(
        f"UPDATE {labels} SET joined = true WHERE rowid IN (SELECT nth FROM matched)"
    )
