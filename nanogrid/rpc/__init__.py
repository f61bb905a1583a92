"""gRPC servers and clients of the grid: identity, errors, health."""
