"""Inference without HTTP: models, queues, detections."""
