"""A minimal detection server as a baseline: FastAPI, one ONNX Runtime session with defaults, NMS in Python.

`benchmarks/serve.py` measures it next to `lineage serve`, so that results are ratios. It runs the raw export of the
same model (`lineage export ... --raw`). It is not slow on purpose.

    uvicorn benchmarks.plain_server:app        with PLAIN_MODEL=path/to/raw.onnx
"""

from __future__ import annotations

import os

import cv2
import numpy as np
import onnxruntime as ort
from fastapi import FastAPI, UploadFile

SIZE, SCORE, IOU = 640, 0.25, 0.45

app = FastAPI()
session = ort.InferenceSession(os.environ["PLAIN_MODEL"], providers=["CPUExecutionProvider"])


@app.post("/detect")
async def detect(file: UploadFile) -> dict[str, object]:
    """Letterbox, run, suppress and answer, all on the event loop, as such servers do."""
    image = np.asarray(cv2.imdecode(np.frombuffer(await file.read(), np.uint8), cv2.IMREAD_COLOR))[:, :, ::-1]
    gain = SIZE / max(image.shape[:2])
    height, width = round(image.shape[0] * gain), round(image.shape[1] * gain)
    canvas = np.full((SIZE, SIZE, 3), 114, np.uint8)
    top, left = (SIZE - height) // 2, (SIZE - width) // 2
    canvas[top : top + height, left : left + width] = cv2.resize(image, (width, height))
    boxes, scores = session.run(["boxes", "scores"], {"images": canvas[None]})
    boxes, scores = boxes[0], scores[0]
    classes, best = scores.argmax(axis=1), scores.max(axis=1)
    above = best > SCORE
    boxes, classes, best = boxes[above], classes[above], best[above]
    shifted = boxes + classes[:, None] * 4096.0
    corners = [[float(x1), float(y1), float(x2 - x1), float(y2 - y1)] for x1, y1, x2, y2 in shifted]
    kept = cv2.dnn.NMSBoxes(corners, best.tolist(), SCORE, IOU)
    return {
        "detections": [
            {
                "box": ((boxes[i] - [left, top, left, top]) / gain).tolist(),
                "score": float(best[i]),
                "class_id": int(classes[i]),
            }
            for i in kept
        ]
    }
