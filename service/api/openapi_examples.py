"""Examples of bodies and answers in /openapi.json, by operation."""

from __future__ import annotations

from typing import Any, Final

_FILE: Final = (  # a white PNG of 2 x 2 pixels
    "iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAAFklEQVQIHWP8//8/AwMD4////xkYGAAy8AX9wEV12gAAAABJRU5ErkJggg=="
)
_DATA_URI: Final = f"data:image/png;base64,{_FILE}"
_IMAGE: Final = {"type": "base64", "value": _FILE}
_OBJECT: Final = {"label": "person", "confidence": 0.87, "x_min": 12, "y_min": 40, "x_max": 96, "y_max": 200}
_DEEPSTACK: Final = {
    "success": True,
    "message": "1 object found",
    "predictions": [_OBJECT],
    "count": 1,
    "inferenceMs": 31,
    "processMs": 36,
    "analysisRoundTripMs": 38,
    "duration": 0.038,
    "moduleId": "YOLO Lineage",
    "command": "detect",
    "executionProvider": "CPU",
    "canUseGPU": False,
}
_VERSION: Final = {
    "major": 0, "minor": 1, "patch": 0, "preRelease": "", "securityUpdate": False, "build": 0, "file": "",
    "releaseNotes": "",
}  # fmt: skip
_PREDICTION: Final = {
    "x": 54.0, "y": 120.0, "width": 84.0, "height": 160.0, "confidence": 0.87, "class": "person", "class_id": 0,
    "detection_id": "1f0c8a52-1c55-4b5e-9d0a-2f6a55e5a001",
}  # fmt: skip
_ROBOFLOW: Final = {
    "inference_id": "7d1f6f2e-54f0-4d59-9a4b-0c9a4f9b7002",
    "time": 0.038,
    "image": {"width": 320, "height": 240},
    "predictions": [_PREDICTION],
}
_MODELS: Final = {
    "models": [
        {
            "model_id": "ui-elements/1",
            "task_type": "object-detection",
            "batch_size": 1,
            "input_height": 640,
            "input_width": 640,
        }
    ]
}
_INFER: Final = {
    "model_name": "ui-elements",
    "model_version": "1",
    "outputs": [
        {"name": "detections", "datatype": "FP32", "shape": [1, 1, 6], "data": [12.0, 40.0, 96.0, 200.0, 0.87, 0.0]},
        {"name": "count", "datatype": "INT32", "shape": [1], "data": [1]},
    ],
}
_TENSORS: Final = {
    "name": "ui-elements",
    "versions": ["1"],
    "platform": "yolo-lineage",
    "inputs": [{"name": "image", "datatype": "BYTES", "shape": [-1]}],
    "outputs": [{"name": "detections", "datatype": "FP32", "shape": [-1, -1, 6]}],
}
_CONFIG: Final = {
    "name": "ui-elements",
    "platform": "yolo-lineage",
    "backend": "yolo-lineage",
    "max_batch_size": 0,
    "input": [{"name": "image", "data_type": "TYPE_STRING", "dims": [-1], "optional": True}],
    "output": [{"name": "detections", "data_type": "TYPE_FP32", "dims": [-1, -1, 6]}],
    "parameters": {"class_names": {"string_value": '["person"]'}},
}
_TOTAL: Final = {"count": 12, "ns": 480_000_000}
_COMPUTE: Final = dict.fromkeys(("compute_input", "compute_infer", "compute_output"), _TOTAL)
_COUNTERS: Final = {
    "name": "ui-elements",
    "version": "1",
    "last_inference": 1_764_000_000_000,
    "inference_count": 12,
    "execution_count": 12,
    "inference_stats": {**dict.fromkeys(("success", "fail", "queue"), _TOTAL), **_COMPUTE},
    "batch_stats": [{"batch_size": 1, **_COMPUTE}],
}
_FILES: Final = {"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": [_FILE]}]}
_REGION: Final = {
    "id": "a1",
    "from_name": "label",
    "to_name": "image",
    "type": "rectanglelabels",
    "original_width": 320,
    "original_height": 240,
    "image_rotation": 0,
    "score": 0.87,
    "value": {"x": 3.75, "y": 16.7, "width": 26.3, "height": 66.7, "rotation": 0, "rectanglelabels": ["person"]},
}
_LABEL_CONFIG: Final = (
    '<View><Image name="image" value="$image"/><RectangleLabels name="label" toName="image">'
    '<Label value="person"/></RectangleLabels></View>'
)
_SETUP: Final = {
    "project": "1.1764400000",
    "schema": _LABEL_CONFIG,
    "hostname": "http://localhost:8080",
    "access_token": "",
}
_TASKS: Final = {
    "tasks": [{"id": 1, "data": {"image": _DATA_URI}}],
    "label_config": _LABEL_CONFIG,
    "project": "1.1764400000",
}

BODIES: Final[dict[str, Any]] = {
    "POST /v2/models/{name}/infer": _FILES,
    "POST /v2/models/{name}/versions/{version}/infer": _FILES,
    "POST /v2/repository/index": {"ready": True},
    "POST /v2/repository/models/{name}/load": {},
    "POST /v2/repository/models/{name}/unload": {},
    "POST /doods/detect": {"data": _FILE, "detector_name": "default", "detect": {"*": 50, "person": 60}},
    "POST /model/add": {"model_id": "ui-elements/1"},
    "POST /infer/object_detection": {
        "model_id": "ui-elements/1",
        "image": _IMAGE,
        "confidence": 0.4,
        "iou_threshold": 0.3,
    },
    "POST /label-studio/setup": _SETUP,
    "POST /label-studio/predict": _TASKS,
    "POST /label-studio/webhook": {"action": "PROJECT_UPDATED"},
    "PUT /admin/models/{name}/aliases/{alias}": {"version": 3},
    "PUT /admin/models/{name}/rollout": {},
}
_OF_MODELS: Final = {
    "": _TENSORS,
    "/config": _CONFIG,
    "/ready": {"name": "ui-elements", "ready": True},
    "/stats": {"model_stats": [_COUNTERS]},
}
ANSWERS: Final[dict[str, Any]] = {
    "GET /v2": {"name": "yolo-lineage", "version": "0.1.0", "extensions": ["binary_tensor_data"]},
    "GET /v2/health/live": {"live": True},
    "GET /v2/health/ready": {"ready": True},
    "GET /v2/models/stats": {"model_stats": [_COUNTERS]},
    **{f"GET /v2/models/{{name}}{action}": example for action, example in _OF_MODELS.items()},
    **{f"GET /v2/models/{{name}}/versions/{{version}}{action}": example for action, example in _OF_MODELS.items()},
    "POST /v2/repository/index": [{"name": "ui-elements", "version": "1", "state": "READY", "reason": ""}],
    "POST /v2/models/{name}/infer": _INFER,
    "POST /v2/models/{name}/versions/{version}/infer": _INFER,
    "POST /v2/repository/models/{name}/load": {},
    "POST /v2/repository/models/{name}/unload": {},
    "POST /v1/vision/detection": _DEEPSTACK,
    "POST /v1/vision/custom/{model}": _DEEPSTACK | {"command": "custom"},
    "POST /v1/vision/custom/list": {"success": True, "models": ["ui-elements"]},
    "GET /v1/status/ping": {"success": True},
    "GET /v1/server/status/ping": {"success": True},
    "GET /v1/status/updateavailable": {
        "success": True,
        "message": "",
        "version": None,
        "current": _VERSION,
        "latest": _VERSION,
        "updateAvailable": False,
    },
    "GET /doods/detectors": {
        "detectors": [
            {
                "name": "default",
                "type": "yolo-lineage",
                "model": "ui-elements",
                "labels": ["person"],
                "width": 640,
                "height": 640,
            }
        ]
    },
    "POST /doods/detect": {
        "id": "",
        "detections": [
            {"top": 0.16, "left": 0.04, "bottom": 0.83, "right": 0.3, "label": "person", "confidence": 87.0}
        ],
    },
    "GET /info": {"name": "YOLO Lineage", "version": "0.1.0", "uuid": "5b3c0f7e-0c5a-4c43-8b63-5d0f6f1f7003"},
    "GET /model/registry": _MODELS,
    "POST /model/add": _MODELS,
    "POST /infer/object_detection": _ROBOFLOW,
    "POST /{name}/{version}": _ROBOFLOW,
    "GET /label-studio/health": {"status": "UP"},
    "GET /label-studio/versions": {"versions": ["ui-elements@1"]},
    "POST /label-studio/setup": {"model_version": "ui-elements@1"},
    "POST /label-studio/predict": {"results": [{"model_version": "ui-elements@1", "score": 0.87, "result": [_REGION]}]},
    "POST /label-studio/webhook": {"status": "ok"},
}
