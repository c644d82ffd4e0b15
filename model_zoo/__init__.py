"""Eight generations of YOLO under one contract: architectures, weights, export."""

import os

# ONNX Runtime's Linux wheels send telemetry unless this is set before the import.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
