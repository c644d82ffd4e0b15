"""inference-sdk: one file, several files, the hosted form, and supervision on the answer."""

import json
import sys

import supervision
from inference_sdk import InferenceConfiguration, InferenceHTTPClient

ADDRESS, _, MODEL, FILE, SCORE, IOU = sys.argv[1:]
NAME = f"{MODEL}/1"


def rows(answer):
    found = []
    for p in answer["predictions"]:
        x, y, width, height = (p[name] for name in ("x", "y", "width", "height"))
        found.append([p["class"], p["confidence"], x - width / 2, y - height / 2, x + width / 2, y + height / 2])
    return found


def supervision_rows(answer):
    detections = supervision.Detections.from_inference(answer)
    boxes, scores = detections.xyxy.tolist(), detections.confidence.tolist()
    return [[int(label), score, *box] for label, score, box in zip(detections.class_id, scores, boxes)]


def client(hosted=False):
    made = InferenceHTTPClient(api_url=f"http://{ADDRESS}", api_key="None")
    made.configure(InferenceConfiguration(confidence_threshold=float(SCORE), iou_threshold=float(IOU)))
    return made.select_api_v0() if hosted else made.select_api_v1()


one = client().infer(FILE, model_id=NAME)
several = client().infer([FILE, FILE], model_id=NAME)
found = {
    "one": rows(one),
    "hosted": rows(client(hosted=True).infer(FILE, model_id=NAME)),
    "supervision": supervision_rows(one),
}
print(json.dumps(found | {f"of several {number}": rows(answer) for number, answer in enumerate(several)}))
