"""Keras to QKeras, quantization-aware fine-tuning, and QKeras to integers."""
