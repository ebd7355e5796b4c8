"""TensorFlow Lite artefacts: float32, and int8 from the network's own integers."""
