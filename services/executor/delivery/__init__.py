"""Handles messages from receipt to deletion: receives them, owns their jobs and ends them."""
