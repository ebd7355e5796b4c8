"""Sparsity schedules and the surgery that removes neurons and filters."""
