"""HTTP service around exported model packages. Imports `model_zoo.contract` only, never torch."""

import os

# ONNX Runtime sends reports of use to its maker unless this is set before it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
