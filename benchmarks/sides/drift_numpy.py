"""Plain numpy: PSI of every feature on the same bins, written by hand over Parquet row groups."""

import json
import math
import sys
from collections import Counter

import numpy as np
import pyarrow.parquet as pq

from benchmarks.columns import CATEGORICAL, FEATURES, NUMERIC

POINTS = [i / 20 for i in range(1, 20)]
TOP = 50


def main(reference: str, current: str) -> None:
    """Print the PSI and the counts of every feature."""
    edges, categories = bins_of(reference)
    before, now = (counts(file, edges, categories) for file in (reference, current))
    drift = {name: psi(before[name], now[name]) for name in FEATURES}
    print(
        json.dumps(
            {"psi": drift, "counts": {name: now[name].tolist() for name in FEATURES}}
        )
    )


def bins_of(file: str) -> tuple[dict[str, np.ndarray], dict[str, dict[str, int]]]:
    """Edges of numeric features (5 % steps, a point mass in a bin of its own) and the bin of each known category."""
    table = pq.read_table(file, columns=list(FEATURES))
    edges = {}
    for name in NUMERIC:
        x = np.sort(table[name].drop_null().to_numpy())
        found: set[float] = set()
        for value in (float(x[math.ceil(p * len(x)) - 1]) for p in POINTS):
            if value in found:
                found.add(math.nextafter(value, -math.inf))
            found.add(value)
        edges[name] = np.array(sorted(found))
    categories = {}
    for name in CATEGORICAL:
        ordered = sorted(
            Counter(table[name].to_pylist()).items(),
            key=lambda item: (-item[1], item[0]),
        )
        categories[name] = {value: min(i, TOP) for i, (value, _) in enumerate(ordered)}
    return edges, categories


def counts(
    file: str, edges: dict[str, np.ndarray], categories: dict[str, dict[str, int]]
) -> dict[str, np.ndarray]:
    """The counts of every bin of every feature."""
    sizes = {name: len(e) + 1 for name, e in edges.items()}
    sizes |= {name: min(len(known), TOP) + 2 for name, known in categories.items()}
    total = {name: np.zeros(size) for name, size in sizes.items()}
    for batch in pq.ParquetFile(file).iter_batches(250_000, columns=list(FEATURES)):
        for name, inner in edges.items():
            x = batch[name].drop_null().to_numpy()
            total[name] += np.bincount(
                np.searchsorted(inner, x, side="left"), minlength=sizes[name]
            )
        for name, known in categories.items():
            coded = batch[name].dictionary_encode()
            place = np.array(
                [known.get(v, sizes[name] - 1) for v in coded.dictionary.to_pylist()]
            )
            total[name] += np.bincount(
                place[coded.indices.to_numpy()], minlength=sizes[name]
            )
    return total


def psi(reference: np.ndarray, current: np.ndarray) -> float:
    """The population stability index with half a count added to each bin."""
    p = (reference + 0.5) / (reference + 0.5).sum()
    q = (current + 0.5) / (current + 0.5).sum()
    return float(((q - p) * np.log(q / p)).sum())


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
