"""Features and labels from candles. Every feature of row t uses rows up to t and no later one."""

from __future__ import annotations

import numpy as np

from toolchain.results import FloatArray

FEATURES = ("return", "volume", "range", "body")


def candle_features(candles: dict[str, FloatArray], volume_window: int) -> FloatArray:
    """``(rows, 4)`` for each candle t:

    - return: (close[t] - close[t-1]) / close[t-1]
    - volume: volume[t] / mean(volume[t-volume_window+1 … t]), a trailing mean: that of the whole series would leak
    - range: (high[t] - low[t]) / close[t]
    - body: (close[t] - open[t]) / open[t]

    The first ``first_row(volume_window)`` rows lack history and are NaN in part; so is a volume whose mean is 0.
    """
    close, volume = candles["close"], candles["volume"]
    returns = np.full_like(close, np.nan)
    returns[1:] = (close[1:] - close[:-1]) / close[:-1]
    trailing = trailing_mean(volume, volume_window)
    relative = np.divide(volume, trailing, out=np.full_like(volume, np.nan), where=trailing > 0)
    spread = (candles["high"] - candles["low"]) / close
    body = (close - candles["open"]) / candles["open"]
    return np.stack([returns, relative, spread, body], axis=1)


def first_row(volume_window: int) -> int:
    """The first row whose features have their whole history."""
    return max(volume_window - 1, 1)


def direction_labels(close: FloatArray) -> FloatArray:
    """1 where the next close is higher, else 0; one shorter than ``close``: the last row has no label."""
    return (close[1:] > close[:-1]).astype(np.float64)


def windows(rows: FloatArray, look_back: int) -> FloatArray:
    """``(samples, look_back, features)`` of ``rows (rows, features)``: sample i ends with row ``i + look_back - 1``."""
    view = np.lib.stride_tricks.sliding_window_view(rows, look_back, axis=0)
    return np.ascontiguousarray(np.moveaxis(view, -1, 1))


def trailing_mean(values: FloatArray, window: int) -> FloatArray:
    """Mean of the last ``window`` values; NaN in the first ``window - 1`` rows."""
    result = np.full_like(values, np.nan)
    if len(values) >= window:
        # Each window is summed on its own: a running sum would carry rounding from rows that have left the window.
        result[window - 1 :] = np.lib.stride_tricks.sliding_window_view(values, window).mean(axis=1)
    return result
