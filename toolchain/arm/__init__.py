"""Running code for ARM on this machine, and on a board: foreign systems, emulation, counters."""
