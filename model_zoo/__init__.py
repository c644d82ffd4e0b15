"""Eight generations of YOLO under one contract: architectures, weights, export."""

import os

# ONNX Runtime sends reports of use to its maker unless this is set before it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
