"""The vendor's own tools, where they are installed: run, and their reports read."""
