"""The service on Ray Serve: whole servers as replicas, or HTTP replicas in front of engine replicas.

`app` builds both. `docs/scaling.md` describes their settings.
"""
