"""The REST contract in code: reading requests, writing answers and problems."""
