"""Invoker: accepts jobs, queues them, waits for and reports their results."""
