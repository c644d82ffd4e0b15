"""The HTTP protocols of the server: for each one, a request for image files and the detections in its answer."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from httpx2 import Client, Response
from numpy.typing import NDArray

from model_zoo.contract import letterbox
from model_zoo.contract.card import ModelCard
from model_zoo.contract.images import decode_image
from model_zoo.contract.pipeline import preprocess

SCORE, IOU = 0.25, 0.45
JSON_LENGTH = "Inference-Header-Content-Length"
BOUNDARY = "boundary"
MULTIPART = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}


@dataclass(frozen=True)
class Found:
    """One detection, best first in an answer."""

    label: str
    score: float
    box: tuple[float, ...]
    """x1, y1, x2, y2 in pixels of the image."""


@dataclass(frozen=True, eq=False)
class Sample:
    """An image file."""

    data: bytes
    pixels: NDArray[np.uint8]

    @classmethod
    def of(cls, data: bytes) -> Sample:
        return cls(data, decode_image(data))

    def scale(self, box: Sequence[float], whole: float) -> tuple[float, ...]:
        """Return a box in pixels that is given in parts of the image, of which the `whole` has one side."""
        height, width = self.pixels.shape[:2]
        return tuple(value * side / whole for value, side in zip(box, (width, height) * 2, strict=True))


@dataclass(frozen=True)
class Call:
    """A POST request."""

    path: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    def send(self, client: Client) -> Response:
        return client.post(self.path, content=self.body, headers=self.headers)


@dataclass(frozen=True)
class Protocol:
    """One way of asking for detections."""

    name: str
    request: Callable[[ModelCard, Sequence[Sample]], Call]
    parse: Callable[[Response, ModelCard, Sequence[Sample]], list[list[Found]]]
    error_text: Callable[[Any], str]
    """Return the text that clients read from the JSON of an error."""
    pixels: float = 0.01
    """Allowed difference of a corner."""
    takes_several: bool = True
    """Whether a request may have several images."""

    def detect(self, client: Client, card: ModelCard, samples: Sequence[Sample]) -> list[list[Found]]:
        """Ask for the detections of images in one request."""
        response = self.request(card, samples).send(client)
        assert response.status_code == 200, (self.name, response.status_code, response.text[:500])
        return self.parse(response, card, samples)


def form(*parts: tuple[str, bytes]) -> bytes:
    """Return multipart parts, of which those named `file` and `image` are files."""
    text = b""
    for name, value in parts:
        file = f'; filename="{name}"' if name in ("file", "image") else ""
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{file}\r\n\r\n'
        text += head.encode() + value + b"\r\n"
    return text + f"--{BOUNDARY}--\r\n".encode()


# Native


def native_call(card: ModelCard, samples: Sequence[Sample], nms: str = "diou") -> Call:
    path = f"/detect?model={card.name}&score={SCORE}&iou={IOU}&nms={nms}"
    return Call(path, form(*(("file", sample.data) for sample in samples)), MULTIPART)


def raw_call(card: ModelCard, samples: Sequence[Sample]) -> Call:
    path = f"/detect?model={card.name}&score={SCORE}&iou={IOU}"
    return Call(path, samples[0].data, {"Content-Type": "image/jpeg"})


def native_answer(response: Response, _: ModelCard, __: Sequence[Sample]) -> list[list[Found]]:
    results = response.json()["results"]
    return [[Found(d["label"], d["score"], tuple(d["box"])) for d in result["detections"]] for result in results]


# Open Inference Protocol


def oip_call(card: ModelCard, *tensors: tuple[str, str, Sequence[int], bytes]) -> Call:
    """Return an infer request of tensors: name, datatype, shape and contents."""
    inputs = [
        {"name": name, "datatype": kind, "shape": shape, "parameters": {"binary_data_size": len(data)}}
        for name, kind, shape, data in tensors
    ]
    head = json.dumps({"inputs": inputs, "parameters": {"binary_data_output": True}}).encode()
    body = b"".join([head, *(tensor[3] for tensor in tensors)])
    return Call(f"/v2/models/{card.name}/infer", body, {JSON_LENGTH: str(len(head))})


def thresholds(count: int) -> list[tuple[str, str, Sequence[int], bytes]]:
    values = {"score_threshold": SCORE, "iou_threshold": IOU}
    return [(name, "FP32", [count], np.full(count, value, "<f4").tobytes()) for name, value in values.items()]


def oip_files_call(card: ModelCard, samples: Sequence[Sample]) -> Call:
    data = b"".join(len(s.data).to_bytes(4, "little") + s.data for s in samples)
    return oip_call(card, ("image", "BYTES", [len(samples)], data), *thresholds(len(samples)))


def oip_tensors_call(card: ModelCard, samples: Sequence[Sample]) -> Call:
    canvases = np.stack([preprocess(card, sample.pixels).pixels for sample in samples])
    return oip_call(card, ("images", "UINT8", canvases.shape, canvases.tobytes()), *thresholds(len(samples)))


def read_outputs(response: Response) -> dict[str, NDArray[Any]]:
    """Return the tensors of an infer answer by name."""
    length = int(response.headers[JSON_LENGTH])
    outputs, position, arrays = json.loads(response.content[:length])["outputs"], length, {}
    for output in outputs:
        end = position + output["parameters"]["binary_data_size"]
        kind = {"FP32": "<f4", "INT32": "<i4"}[output["datatype"]]
        arrays[output["name"]] = np.frombuffer(response.content[position:end], kind).reshape(output["shape"])
        position = end
    assert position == len(response.content)
    return arrays


def rows_of(detections: NDArray[np.float32], count: int, card: ModelCard) -> list[Found]:
    """Return the detections of one image, from the rows of the output."""
    rows = detections[:count].tolist()
    return [Found(card.class_names[int(class_id)], score, tuple(box)) for *box, score, class_id in rows]


def oip_files_answer(response: Response, card: ModelCard, _: Sequence[Sample]) -> list[list[Found]]:
    arrays = read_outputs(response)
    return [rows_of(rows, n, card) for rows, n in zip(arrays["detections"], arrays["count"], strict=True)]


def oip_tensors_answer(response: Response, card: ModelCard, samples: Sequence[Sample]) -> list[list[Found]]:
    arrays = read_outputs(response)
    found = []
    for sample, rows, count in zip(samples, arrays["detections"], arrays["count"], strict=True):
        boxes = letterbox.undo(rows[:, :4], preprocess(card, sample.pixels).geometry)
        found.append(rows_of(np.concatenate([boxes, rows[:, 4:]], axis=1), count, card))
    return found


# Home automation


def deepstack_call(_: ModelCard, samples: Sequence[Sample]) -> Call:
    body = form(("image", samples[0].data), ("min_confidence", str(SCORE).encode()), ("api_key", b""))
    return Call("/v1/vision/detection", body, MULTIPART)


def deepstack_custom_call(card: ModelCard, samples: Sequence[Sample]) -> Call:
    call = deepstack_call(card, samples)
    return Call(f"/v1/vision/custom/{card.name}", call.body, call.headers)


def deepstack_answer(response: Response, _: ModelCard, __: Sequence[Sample]) -> list[list[Found]]:
    answer = response.json()
    corners = ("x_min", "y_min", "x_max", "y_max")
    assert answer["success"] is True
    assert answer["count"] == len(answer["predictions"])
    assert all(type(p[corner]) is int for p in answer["predictions"] for corner in corners)
    return [[Found(p["label"], p["confidence"], tuple(p[c] for c in corners)) for p in answer["predictions"]]]


def doods_call(card: ModelCard, samples: Sequence[Sample]) -> Call:
    data = base64.b64encode(samples[0].data).decode()
    body = {"data": data, "detector_name": card.name, "detect": {"*": 100 * SCORE}, "id": "1"}
    return Call("/doods/detect", json.dumps(body).encode())


def doods_answer(response: Response, _: ModelCard, samples: Sequence[Sample]) -> list[list[Found]]:
    corners = ("left", "top", "right", "bottom")
    return [
        [
            Found(d["label"], d["confidence"] / 100, samples[0].scale([d[c] for c in corners], 1))
            for d in response.json()["detections"]
        ]
    ]


# Roboflow and Label Studio


def roboflow_call(card: ModelCard, samples: Sequence[Sample]) -> Call:
    images = [{"type": "base64", "value": base64.b64encode(s.data).decode()} for s in samples]
    body = {"model_id": f"{card.name}/1", "api_key": None, "image": images, "confidence": SCORE, "iou_threshold": IOU}
    return Call("/infer/object_detection", json.dumps(body).encode(), {"Content-Type": "application/json"})


def hosted_call(card: ModelCard, samples: Sequence[Sample]) -> Call:
    path = f"/{card.name}/1?api_key=None&confidence={SCORE}&overlap={IOU}"
    return Call(path, base64.b64encode(samples[0].data), {"Content-Type": "application/json"})


def roboflow_answer(response: Response, _: ModelCard, __: Sequence[Sample]) -> list[list[Found]]:
    answers = response.json()
    answers = answers if isinstance(answers, list) else [answers]
    return [[Found(p["class"], p["confidence"], _corners(p)) for p in answer["predictions"]] for answer in answers]


def _corners(prediction: Mapping[str, float]) -> tuple[float, ...]:
    x, y, width, height = (prediction[name] for name in ("x", "y", "width", "height"))
    return (x - width / 2, y - height / 2, x + width / 2, y + height / 2)


def label_studio_call(card: ModelCard, samples: Sequence[Sample]) -> Call:
    labels = "".join(f'<Label value="{name}"/>' for name in card.class_names)
    control = f'<RectangleLabels name="box" toName="img">{labels}</RectangleLabels>'
    config = f'<View><Image name="img" value="$image"/>{control}</View>'
    tasks = [
        {"id": number, "data": {"image": f"data:image/jpeg;base64,{base64.b64encode(sample.data).decode()}"}}
        for number, sample in enumerate(samples)
    ]
    body = {"tasks": tasks, "label_config": config, "project": "1.1", "params": {"context": None}}
    return Call("/label-studio/predict", json.dumps(body).encode(), {"Content-Type": "application/json"})


def label_studio_answer(response: Response, _: ModelCard, samples: Sequence[Sample]) -> list[list[Found]]:
    results = [result["result"] for result in response.json()["results"]]
    return [
        [
            Found(region["value"]["rectanglelabels"][0], region["score"], _region_box(region, sample))
            for region in regions
        ]
        for regions, sample in zip(results, samples, strict=True)
    ]


def _region_box(region: Mapping[str, Any], sample: Sample) -> tuple[float, ...]:
    height, width = sample.pixels.shape[:2]
    assert (region["original_width"], region["original_height"]) == (width, height)
    assert (region["from_name"], region["to_name"], region["type"]) == ("box", "img", "rectanglelabels")
    x, y, w, h = (region["value"][name] for name in ("x", "y", "width", "height"))
    return sample.scale((x, y, x + w, y + h), 100)


def _member(name: str) -> Callable[[Any], str]:
    return lambda body: str(body[name])


NATIVE = Protocol("native", native_call, native_answer, _member("detail"))
RAW = Protocol("native raw", raw_call, native_answer, _member("detail"), takes_several=False)
OIP_FILES = Protocol("oip files", oip_files_call, oip_files_answer, _member("error"))
OIP_TENSORS = Protocol("oip tensors", oip_tensors_call, oip_tensors_answer, _member("error"))
DEEPSTACK = Protocol("deepstack", deepstack_call, deepstack_answer, _member("error"), 1.0, takes_several=False)
CUSTOM = Protocol(
    "deepstack custom", deepstack_custom_call, deepstack_answer, _member("error"), 1.0, takes_several=False
)
DOODS = Protocol("doods", doods_call, doods_answer, _member("error"), 0.1, takes_several=False)
ROBOFLOW = Protocol("roboflow", roboflow_call, roboflow_answer, _member("message"))
HOSTED = Protocol("roboflow hosted", hosted_call, roboflow_answer, _member("message"), takes_several=False)
LABEL_STUDIO = Protocol("label studio", label_studio_call, label_studio_answer, _member("detail"), 0.1)
PROTOCOLS = (NATIVE, RAW, OIP_FILES, OIP_TENSORS, DEEPSTACK, CUSTOM, DOODS, ROBOFLOW, HOSTED, LABEL_STUDIO)
