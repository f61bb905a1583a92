"""Code on this machine: fetched, built and cached."""
