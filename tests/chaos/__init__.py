"""Real processes killed, stopped and lied to, seeded; every run ends in an audit of every accepted job."""
