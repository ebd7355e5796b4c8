"""The rule of a percentile: ``W_kept = {w : |w| > P_p(|W|)}`` of one kernel."""

from __future__ import annotations

import numpy as np

from toolchain.model.graph import Array
from toolchain.model.kernels import Mask


def kept(kernel: Array, percentile: float) -> Mask:
    """True where ``|w|`` is above the percentile (0 … 100, linear between order statistics) of the kernel's ``|w|``."""
    magnitudes = np.abs(kernel)
    return np.asarray(magnitudes > np.percentile(magnitudes, percentile))
