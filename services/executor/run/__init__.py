"""One call of a function: running it, and collecting its output and its outcome."""
