"""gRPC as every process of the grid speaks it."""
