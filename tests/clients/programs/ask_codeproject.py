"""codeproject-ai-api, the client of Home Assistant's integration of CodeProject.AI."""

import json
import sys

import codeprojectai.core as cpai

ADDRESS, _, MODEL, FILE, SCORE, _ = sys.argv[1:]
HOST, PORT = ADDRESS.split(":")
with open(FILE, "rb") as file:
    IMAGE = file.read()


def rows(predictions):
    corners = ("x_min", "y_min", "x_max", "y_max")
    return [[p["label"], p["confidence"], *(p[corner] for corner in corners)] for p in predictions]


found = {
    model or "default": rows(
        cpai.CodeProjectAIObject(
            ip=HOST, port=PORT, timeout=30, min_confidence=float(SCORE), custom_model=model
        ).detect(IMAGE)
    )
    for model in ("", MODEL)
}
print(json.dumps(found))
