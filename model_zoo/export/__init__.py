"""Export detectors to verified ONNX files and TensorRT plans."""
