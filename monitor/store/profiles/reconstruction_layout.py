"""The reconstruction error of a reference: learned from a sample of its rows, its layout from all of them."""

from collections.abc import Mapping

import duckdb
import numpy as np

from monitor import reconstruction
from monitor.arrow_columns import BATCH_ROWS, numpy_of
from monitor.layout import Layout
from monitor.reconstruction import Reconstruction
from monitor.sql import quote
from monitor.store.rows.events import Model

SAMPLED_CELLS = 2_000_000  # values that are learned from


def freeze(
    con: duckdb.DuckDBPyConnection,
    model: Model,
    rows: str,
    n: int,
    layouts: Mapping[str, Layout],
    wanted: bool,
) -> tuple[Reconstruction | None, np.ndarray]:
    """What `n` rows of a temporary table teach of the model's features together, and the error of each of them.

    None, and no errors, when it is not wanted, or there are too few or too many
    features, or too few rows. Kept with the model.
    """
    packed = model.schema.places
    features = {
        f.field: layouts[f.field]
        for f in model.schema.features
        if f.field in layouts and not packed
    }
    found, errors = None, np.empty(0)
    if wanted and reconstruction.FEWEST <= len(features) <= reconstruction.MOST:
        every = max(1, n * len(features) // SAMPLED_CELLS)
        read = f"SELECT {', '.join(map(quote, features))} FROM {quote(rows)}"
        found = reconstruction.fit(
            con.sql(f"{read} WHERE rowid % {every} = 0").to_arrow_table(), features
        )
        if found is not None:
            batches = con.sql(read).to_arrow_reader(BATCH_ROWS)
            parts = [
                numpy_of(found.errors(batch, features).drop_null()) for batch in batches
            ]
            errors = np.concatenate([np.empty(0), *parts])
    text = None if found is None else found.to_json()
    con.execute("UPDATE models SET reconstruction = ? WHERE id = ?", [text, model.id])
    return found, errors
