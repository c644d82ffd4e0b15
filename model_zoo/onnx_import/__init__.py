"""Import the ONNX file of a detector that another program exported, without torch.

- `reader`: read an untrusted file: versions, operators, sizes, external data.
- `network`: its input and outputs, and how to run it.
- `recognition`: the layout of its outputs, from shapes, metadata and a probe.
- `decoding`: outputs to boxes and scores, in NumPy.
- `graft`: the same in the graph, between uint8 images and the NMS of `export.nms_graph`.
- `proof`: detections of the new graph against those of the file.
- `importer`: all of it in a child process, and the publishing.
"""
