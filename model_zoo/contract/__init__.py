"""The contract of a model file: card, package, pre- and postprocessing, NMS, images. Needs NumPy and OpenCV only."""
