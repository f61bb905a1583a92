"""Sandboxes: kept ready, chosen for calls, reused and evicted."""
