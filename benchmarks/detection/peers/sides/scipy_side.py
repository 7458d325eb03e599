"""KS and chi-squared of each column by scipy, without and with Bonferroni's correction."""

import numpy as np
from scipy.stats import chi2_contingency, ks_2samp
from stream import serve

LEAST, LEVEL = 1e-300, 0.05


def prepare(stream):
    """The score of a window: log of the smallest p over log of the level; missing values left out."""
    numbers, categories = stream.sample()
    known = [np.sort(x[~np.isnan(x)]) for x in numbers.T]

    def scores(first, last):
        now, mix = stream.window(first)
        p = [
            ks_2samp(k, x[~np.isnan(x)], method="asymp").pvalue
            for k, x in zip(known, now.T, strict=True)
        ]
        for before, x in zip(categories.T, mix.T, strict=True):
            size = int(max(before.max(), x.max())) + 1
            table = np.stack(
                [np.bincount(v[v >= 0], minlength=size) for v in (before, x)]
            )
            p.append(chi2_contingency(table[:, table.sum(axis=0) > 0]).pvalue)
        least = np.log(max(LEAST, min(p)))
        return {
            "scipy": [least / np.log(LEVEL)],
            "scipy bonferroni": [least / np.log(LEVEL / len(p))],
        }

    return scores


serve(prepare)
