"""Eight generations of YOLO under one contract: architectures, weights, export."""
