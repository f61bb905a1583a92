"""The connections of a process to Redis."""
