"""Season: the daily and weekly pattern of a stream, as regressors of an hour index."""

from typing import Literal

import numpy as np

Season = Literal["none", "daily", "weekly"]

DAY, WEEK = 24, 168  # hours
# hours of reference below which a harmonic would fit the noise
MIN_DAILY, MIN_WEEKLY = WEEK, 2 * WEEK
MIN_WINDOWS = 28  # for a weekly pattern: windows of a day are few
RIDGE = 1e-3


def season_for(windows: int, width: int = 1) -> Season:
    """Return the pattern that a reference of `windows` windows of `width` hours can show.

    None below one week, a daily pattern below two weeks, else a weekly one.
    """
    hours = windows * width
    if hours >= MIN_WEEKLY and windows >= MIN_WINDOWS:
        return "weekly"
    return "daily" if hours >= MIN_DAILY and width < DAY else "none"


def regressors(season: Season, index: np.ndarray, width: int = 1) -> np.ndarray:
    """Return the regressors of hours since a Monday 00:00, shape (windows, columns).

    There are 1, 9 or 19 columns for windows of one hour: the intercept; daily harmonics
    1 to 4; weekly harmonics 1 to 3; weekend times daily harmonics 1 and 2, centred over
    a week. Windows of several hours have fewer daily harmonics, windows of a day none.
    """
    t = np.asarray(index, dtype=float)
    daily = min(4, (DAY // width - 1) // 2)
    columns = [np.ones_like(t)]
    if season != "none":
        columns += _harmonics(t, DAY, daily)
    if season == "weekly":
        weekend = ((t // DAY) % 7 >= 5).astype(float) - 2 / 7
        columns += _harmonics(t, WEEK, 3)
        weekend_harmonics = _harmonics(t, DAY, min(2, daily))
        columns += [weekend * harmonic for harmonic in weekend_harmonics]
    return np.stack(columns, axis=1)


def _harmonics(t: np.ndarray, period: int, number: int) -> list[np.ndarray]:
    angles = [2 * np.pi * k * t / period for k in range(1, number + 1)]
    return [wave(angle) for angle in angles for wave in (np.cos, np.sin)]


def regress(
    columns: np.ndarray, values: np.ndarray, variances: np.ndarray
) -> np.ndarray:
    """Return ridge coefficients of `values` (T, K) on `columns` (T, C), shape (C, K).

    `variances` (T,) are the sampling variances of a typical stream. The formula is
    (X'WX + 0.001 T I)^-1 X'WY with an unpenalised intercept. The weights are
    proportional to sqrt(rows), a compromise between equal weights and inverse variance:
    slow variation of the level does not shrink with the number of rows.
    """
    w = 1 / np.sqrt(variances)
    weighted = columns * (w / w.mean())[:, None]
    penalty = np.eye(columns.shape[1]) * RIDGE * len(columns)
    penalty[0, 0] = 0
    return np.linalg.solve(weighted.T @ columns + penalty, weighted.T @ values)
