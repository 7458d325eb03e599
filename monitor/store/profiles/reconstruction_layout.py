"""The reconstruction of a reference: fitted to a sample of its rows, its errors on all."""

from collections.abc import Mapping

import duckdb
import numpy as np

from monitor import reconstruction
from monitor.arrow_columns import BATCH_ROWS, numpy_of
from monitor.layout import Layout
from monitor.reconstruction import Reconstruction
from monitor.sql import quote
from monitor.store.model import Model

MAX_SAMPLED_CELLS = 2_000_000  # values that the fit reads


def fit_reconstruction(
    con: duckdb.DuckDBPyConnection,
    model: Model,
    table: str,
    n: int,
    layouts: Mapping[str, Layout],
) -> tuple[Reconstruction | None, np.ndarray]:
    """Fit the features of `n` rows of a temporary table; return it and each row's error.

    None, and no errors, when there are too few or too many features, or too few rows.
    """
    features = {}
    if not model.schema.places:
        for feature in model.schema.features:
            if feature.field in layouts:
                features[feature.field] = layouts[feature.field]
    if not reconstruction.MIN_FEATURES <= len(features) <= reconstruction.MAX_FEATURES:
        return None, np.empty(0)
    every = max(1, n * len(features) // MAX_SAMPLED_CELLS)
    select = f"SELECT {', '.join(map(quote, features))} FROM {quote(table)}"
    sample = con.sql(f"{select} WHERE rowid % {every} = 0").to_arrow_table()
    fitted = reconstruction.fit(sample, features)
    if fitted is None:
        return None, np.empty(0)
    errors = [
        numpy_of(fitted.errors(batch, features).drop_null())
        for batch in con.sql(select).to_arrow_reader(BATCH_ROWS)
    ]
    return fitted, np.concatenate([np.empty(0), *errors])
