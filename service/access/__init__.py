"""API keys and rate limits, for every protocol. No HTTP."""
