"""Reference architectures, loading of Keras files, and training."""
