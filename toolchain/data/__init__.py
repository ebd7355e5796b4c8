"""Where samples come from, how they become features, and how they are split in time."""
