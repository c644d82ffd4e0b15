"""pydoods, the client of Home Assistant's integration of DOODS."""

import json
import sys

from PIL import Image
from pydoods import PyDOODS

ADDRESS, _, MODEL, FILE, SCORE, _ = sys.argv[1:]
client = PyDOODS(f"http://{ADDRESS}/doods", "", 90)
[detector] = [d for d in client.get_detectors()["detectors"] if d["name"] == MODEL]
assert detector["labels"]
width, height = Image.open(FILE).size
with open(FILE, "rb") as file:
    answer = client.detect(file.read(), {"*": 100 * float(SCORE)}, detector_name=MODEL)
rows = [
    [d["label"], d["confidence"] / 100, d["left"] * width, d["top"] * height, d["right"] * width, d["bottom"] * height]
    for d in answer["detections"]
]
print(json.dumps({"detect": rows}))
