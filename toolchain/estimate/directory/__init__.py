"""Any directory that hls4ml wrote, read as a ``Design``: its sources are facts, nothing of it is run."""
