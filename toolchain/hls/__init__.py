"""FixedPointNetwork to hls4ml, the written project, and its C-simulation."""
