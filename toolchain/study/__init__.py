"""Studies: one question asked over many folds and seeds, answered in a table and a page."""
