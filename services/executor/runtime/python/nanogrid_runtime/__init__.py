"""The parts of the resident Python runtime."""
