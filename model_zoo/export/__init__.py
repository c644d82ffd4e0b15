"""From a detector to one self-contained, verified ONNX file, and from that to TensorRT plans."""
