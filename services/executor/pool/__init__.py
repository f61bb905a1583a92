"""Keeps sandboxes ready, chooses them for calls, reuses and evicts them."""
