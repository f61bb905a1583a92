"""From a message on the queue to its deletion: receiving, owning and ending jobs."""
