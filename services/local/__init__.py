"""The local grid: every process of NanoGrid on one machine, Redis included."""
