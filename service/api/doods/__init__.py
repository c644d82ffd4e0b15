"""DOODS, for Home Assistant and pydoods."""
