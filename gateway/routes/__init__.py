"""The REST contract, route by route."""
