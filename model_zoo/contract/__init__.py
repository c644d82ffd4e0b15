"""What it takes to run a model file: images, letterbox, boxes, NMS, card, package. NumPy and OpenCV only."""
