"""Registry: which functions exist, and whose API key is whose."""
