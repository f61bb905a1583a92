"""Others that do the same work on this machine, each started and ended by its file here."""
