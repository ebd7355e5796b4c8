"""How much a neuron or filter matters: one small file per criterion."""
