"""YOLO Lineage: the command line, on top of `model_zoo`, `service` and `training`."""
