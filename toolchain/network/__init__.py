"""The quantized network as integers, and its exact interpreter."""
