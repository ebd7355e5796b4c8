"""The proof of the verdict: random networks through the whole hardware path, and mutants that must be caught."""
