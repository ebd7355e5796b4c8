"""Design-space exploration: many designs of one project, their front, and the width of each layer."""
