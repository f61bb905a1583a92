"""Runs one call of a function and collects its output and outcome."""
