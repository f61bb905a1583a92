"""Executor: pulls jobs from the queue and runs them in sandboxes on its worker machine."""
