"""Fetches, builds and caches functions' code on this machine."""
