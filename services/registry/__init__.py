"""Registry: functions and API keys."""
