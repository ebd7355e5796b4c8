"""DSP, BRAM, LUT, FF, latency and initiation interval without a vendor licence."""
