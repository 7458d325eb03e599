"""alibi-detect's TabularDrift: KS and chi-squared, p < 0.05 divided by the columns, window by window."""

import numpy as np
from alibi_detect.cd import TabularDrift
from stream import serve

LEAST = 1e-300


def prepare(stream):
    """The score of a window: log of the smallest p over log of the threshold."""
    numbers, categories = stream.sample()
    usual = np.nanmedian(numbers, axis=0)

    def whole(window_numbers, window_categories):
        # the detector takes no NaN: the median of the reference for numbers, a category
        # of its own for texts
        filled = np.where(np.isnan(window_numbers), usual, window_numbers)
        return np.hstack([filled, window_categories]).astype(np.float32)

    kinds = {12 + j: None for j in range(categories.shape[1])}
    detector = TabularDrift(
        whole(numbers, categories), p_val=0.05, categories_per_feature=kinds
    )

    def scores(first, last):
        said = detector.predict(whole(*stream.window(first)))["data"]
        score = np.log(
            max(LEAST, np.nan_to_num(said["p_val"], nan=1.0).min())
        ) / np.log(said["threshold"])
        if bool(said["is_drift"]) != bool(score > 1):
            raise SystemExit("is_drift is not what the threshold says")
        return {"alibi": [score]}

    return scores


serve(prepare)
