"""Labels beside their events: kept as they come, joined when both are there, corrected when a later one comes.

`joined` is true of the one label of an event that counts, false while its event has not
come, and null of one that was replaced: it is kept, so that its repeat is known as one.
The rows lie in the order in which they were received.
"""

import duckdb
import numpy as np
import pyarrow as pa

from monitor.store.rows.events import LABEL_NUMBER, Model

LATEST = "QUALIFY row_number() OVER (PARTITION BY l.event_id ORDER BY l.ts DESC, l.rowid DESC) = 1"


def insert(con: duckdb.DuckDBPyConnection, model: Model, rows: pa.Table) -> int:
    """Keep labels (event_id, label, ts) that are not kept yet, each once, in their order; how many there were."""
    con.register(
        "label_rows", rows.append_column("nth", pa.array(np.arange(rows.num_rows)))
    )
    try:
        # first the few kept labels of these events, then the comparison: not with all
        # labels of the model
        ((added,),) = con.execute(
            f"WITH kept AS (SELECT event_id, label, ts FROM {model.labels} SEMI JOIN label_rows USING (event_id)) "
            f"INSERT INTO {model.labels} BY NAME SELECT event_id, label, {LABEL_NUMBER} AS number, ts, false AS joined "
            "FROM (SELECT event_id, label, ts, min(nth) AS nth FROM label_rows GROUP BY ALL) "
            "ANTI JOIN kept USING (event_id, label, ts) ORDER BY nth"
        ).fetchall()
        return int(added)
    finally:
        con.unregister("label_rows")


def waiting(con: duckdb.DuckDBPyConnection, model: Model) -> bool:
    """Whether any label has not found its event yet."""
    return bool(
        con.execute(f"SELECT count(*) FROM {model.labels} WHERE NOT joined").fetchall()[
            0
        ][0]
    )


def match(
    con: duckdb.DuckDBPyConnection,
    model: Model,
    columns: str,
    new: pa.Table | None,
    fresh: pa.Table | None,
) -> int:
    """Join labels to their events: `new` ones to all events, those that wait to the `fresh` events; how many found theirs.

    Leaves the temporary tables `matched`, with the event and its label, and `earlier`,
    with the label that each of them corrects. Of the labels of one event the one with
    the latest `ts` counts, of several with the same the one that was received last,
    however the loads were cut. `columns` is SQL for what is kept of a stored event;
    `fresh` has nothing else.
    """
    form = "l.rowid AS nth, l.event_id, l.label, l.number, l.ts AS label_ts, e.* EXCLUDE (event_id)"
    parts = []
    if new is not None and new.num_rows:
        con.register("new_labels", new.select(["event_id"]))
        among = "SELECT event_id FROM new_labels"
        # the few events first: a join that built on all events would hold millions of
        # ids
        events = f"(SELECT {columns} FROM {model.events} WHERE event_id IN ({among}))"
        parts.append(
            f"SELECT {form} FROM {model.labels} l JOIN {events} e ON l.event_id = e.event_id "
            f"WHERE NOT l.joined AND l.event_id IN ({among}) {LATEST}"
        )
    if fresh is not None and fresh.num_rows:
        con.register("fresh_events", fresh)
        others = (
            " AND l.event_id NOT IN (SELECT event_id FROM new_labels)" if parts else ""
        )
        parts.append(
            f"SELECT {form} FROM {model.labels} l JOIN fresh_events e ON l.event_id = e.event_id WHERE NOT l.joined{others} {LATEST}"
        )
    if not parts:
        return 0
    union = " UNION ALL BY NAME ".join(f"(FROM ({part}))" for part in parts)
    con.execute(f"CREATE OR REPLACE TEMP TABLE matched AS {union}")
    for name in ("new_labels", "fresh_events"):
        con.unregister(name)
    found = int(con.execute("SELECT count(*) FROM matched").fetchall()[0][0])
    if found:
        _settle(con, model)
    return found


def _settle(con: duckdb.DuckDBPyConnection, model: Model) -> None:
    table = model.labels
    con.execute(
        f"CREATE OR REPLACE TEMP TABLE earlier AS SELECT l.event_id, l.label, l.number, l.ts AS label_ts, "
        f"m.* EXCLUDE (nth, event_id, label, number, label_ts) FROM {table} l JOIN matched m ON l.event_id = m.event_id WHERE l.joined"
    )
    con.execute(
        f"UPDATE {table} SET joined = NULL WHERE NOT joined AND event_id IN (SELECT event_id FROM matched)"
    )
    # what was joined with the same ts was received in an earlier load: it is replaced
    con.execute(
        "DELETE FROM matched WHERE event_id IN (SELECT e.event_id FROM earlier e WHERE e.label_ts > matched.label_ts)"
    )
    con.execute(
        "DELETE FROM earlier WHERE event_id NOT IN (SELECT event_id FROM matched)"
    )
    con.execute(
        f"UPDATE {table} SET joined = NULL WHERE joined AND event_id IN (SELECT event_id FROM earlier)"
    )
    con.execute(
        f"UPDATE {table} SET joined = true WHERE rowid IN (SELECT nth FROM matched)"
    )
