"""What the resident Python runtime is made of."""
