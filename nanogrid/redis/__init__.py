"""Connections to Redis: opening, sharing and checking them."""
