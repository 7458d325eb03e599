"""The usual course of a day and a week, as regressors of an hour index."""

from typing import Literal

import numpy as np

Season = Literal["none", "daily", "weekly"]

DAY, WEEK = 24, 168
# hours of reference; with less a harmonic would learn the noise
MIN_DAILY, MIN_WEEKLY = WEEK, 2 * WEEK
MIN_WINDOWS = 28  # for the week, as windows of a day are few
RIDGE = 1e-3


def season_for(windows: int, width: int = 1) -> Season:
    """Return the season that a reference of so many windows of `width` hours can teach.

    Nothing below a week, only the day below two.
    """
    if windows * width >= MIN_WEEKLY and windows >= MIN_WINDOWS:
        return "weekly"
    return "daily" if windows * width >= MIN_DAILY and width < DAY else "none"


def regressors(season: Season, index: np.ndarray, width: int = 1) -> np.ndarray:
    """Columns for hours since a Monday 00:00, shape (windows, columns): 1, 9 or 19 of them for windows of one hour.

    Intercept; daily harmonics 1..4; weekly harmonics 1..3; weekend times daily
    harmonics 1..2, centred over a week. Windows of several hours see fewer daily
    harmonics, windows of a day none.
    """
    t = np.asarray(index, dtype=float)
    daily = min(4, (DAY // width - 1) // 2)
    columns = [np.ones_like(t)]
    if season != "none":
        columns += _harmonics(t, DAY, daily)
    if season == "weekly":
        weekend = ((t // DAY) % 7 >= 5).astype(float) - 2 / 7
        columns += _harmonics(t, WEEK, 3)
        columns += [weekend * c for c in _harmonics(t, DAY, min(2, daily))]
    return np.stack(columns, axis=1)


def _harmonics(t: np.ndarray, period: int, number: int) -> list[np.ndarray]:
    angles = [2 * np.pi * k * t / period for k in range(1, number + 1)]
    return [f(a) for a in angles for f in (np.cos, np.sin)]


def regress(
    columns: np.ndarray, values: np.ndarray, variances: np.ndarray
) -> np.ndarray:
    """Ridge coefficients of `values` (T, K) on `columns` (T, C), shape (C, K); `variances` (T,) of a usual stream.

    (X'WX + 0.001 T I)^-1 X'WY, intercept unpenalised, weights ~ sqrt(rows): between
    equal and inverse variance, as the wandering of the level does not shrink with rows.
    """
    w = 1 / np.sqrt(variances)
    weighted = columns * (w / w.mean())[:, None]
    penalty = np.eye(columns.shape[1]) * RIDGE * len(columns)
    penalty[0, 0] = 0
    return np.linalg.solve(weighted.T @ columns + penalty, weighted.T @ values)
