"""Chaos tests: kills, stops and misleads real processes, repeatable by seed, and audits every accepted job."""
