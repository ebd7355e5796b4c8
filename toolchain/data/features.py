"""Features and labels from candles. Every feature of row t uses rows up to t and no later one."""

from __future__ import annotations

import numpy as np

from toolchain.results import FloatArray

#: Rows over which the mean volume is taken: a day of 5-minute candles. Trailing: the series' own mean would leak.
VOLUME_WINDOW = 288
FEATURES = ("return", "volume", "range", "body")


def candle_features(candles: dict[str, FloatArray]) -> FloatArray:
    """``(rows, 4)``: price return, volume over its trailing mean, high-low range, open-close difference.

    The first ``first_row()`` rows lack history and must be left out.
    """
    close, volume = candles["close"], candles["volume"]
    returns = np.zeros_like(close)
    returns[1:] = close[1:] / close[:-1] - 1.0
    trailing = _trailing_mean(volume, VOLUME_WINDOW)
    relative = np.divide(volume, trailing, out=np.ones_like(volume), where=trailing > 0)
    spread = (candles["high"] - candles["low"]) / close
    body = (close - candles["open"]) / candles["open"]
    return np.stack([returns, relative, spread, body], axis=1)


def first_row() -> int:
    """The first row whose features have their whole history."""
    return VOLUME_WINDOW - 1


def direction_labels(close: FloatArray) -> FloatArray:
    """1 where the next close is higher, else 0; one shorter than ``close``: the last row has no label."""
    return (close[1:] > close[:-1]).astype(np.float64)


def windows(rows: FloatArray, look_back: int) -> FloatArray:
    """``(samples, look_back, features)``: sample i ends with row ``i + look_back - 1``."""
    view = np.lib.stride_tricks.sliding_window_view(rows, look_back, axis=0)
    return np.ascontiguousarray(np.moveaxis(view, -1, 1))


def _trailing_mean(values: FloatArray, window: int) -> FloatArray:
    # Each window is summed on its own: a running sum would carry rounding from the future of another window.
    if len(values) < window:
        return np.full_like(values, values.mean() if len(values) else 0.0)
    view = np.lib.stride_tricks.sliding_window_view(values, window)
    return np.concatenate([np.full(window - 1, np.nan), view.mean(axis=1)])
