"""The protocols that need a client of their own: gRPC, ZeroMQ, and the Python client of this project."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from lineage import Client
from model_zoo.contract.card import ModelCard
from tests.e2e.protocols import IOU, SCORE, Found, Sample, rows_of


@dataclass(frozen=True)
class Addresses:
    """Where a server listens."""

    http: str
    grpc: str
    zmq: str


@dataclass(frozen=True)
class ClientProtocol:
    """One client, which returns the detections of images."""

    name: str
    detect: Callable[[Addresses, ModelCard, Sequence[Sample]], list[list[Found]]]
    pixels: float = 0.01
    """Allowed difference of a corner."""
    takes_several: bool = True
    """Whether a request may have several images."""
    min_score: float = 0.0
    """Min score of the protocol, if it has one of its own."""
    max_detections: int | None = None
    """Max number of detections of the protocol."""


def detect_grpc(addresses: Addresses, card: ModelCard, samples: Sequence[Sample]) -> list[list[Found]]:
    triton = pytest.importorskip("tritonclient.grpc", reason="gRPC needs tritonclient[grpc]")

    def tensor(name: str, kind: str, values: np.ndarray) -> Any:
        made = triton.InferInput(name, values.shape, kind)
        made.set_data_from_numpy(values)
        return made

    count = len(samples)
    limits = {"score_threshold": SCORE, "iou_threshold": IOU}
    tensors = [tensor("image", "BYTES", np.array([sample.data for sample in samples], dtype=np.object_))]
    tensors += [tensor(name, "FP32", np.full(count, value, np.float32)) for name, value in limits.items()]
    with triton.InferenceServerClient(addresses.grpc) as client:
        result = client.infer(card.name, tensors)
    outputs = zip(result.as_numpy("detections"), result.as_numpy("count"), strict=True)
    return [rows_of(rows, number, card) for rows, number in outputs]


def detect_zmq(addresses: Addresses, card: ModelCard, samples: Sequence[Sample]) -> list[list[Found]]:
    zmq = pytest.importorskip("zmq", reason="Frigate's protocol needs pyzmq")
    [sample] = samples
    header = {"shape": [1, *sample.pixels.shape], "dtype": "uint8", "model_type": "yolo-generic"}
    with zmq.Context() as context, context.socket(zmq.REQ) as socket:
        socket.connect(addresses.zmq)
        socket.send_multipart([json.dumps(header).encode(), sample.pixels.tobytes()])
        rows = np.frombuffer(socket.recv(), "<f4").reshape(20, 6).astype(np.float64)
    rows = rows[rows[:, 1] > SCORE]
    return [[Found(card.class_names[int(row[0])], row[1], sample.scale(row[[3, 2, 5, 4]].tolist(), 1)) for row in rows]]


def detect_client(transport: str) -> Callable[[Addresses, ModelCard, Sequence[Sample]], list[list[Found]]]:
    def detect(addresses: Addresses, card: ModelCard, samples: Sequence[Sample]) -> list[list[Found]]:
        with Client(addresses.http, transport=transport, timeout=300) as client:
            results = client.detect([s.data for s in samples], model=card.name, score=SCORE, iou=IOU)
        return [
            [
                Found(label, float(score), tuple(box))
                for label, score, box in zip(r.labels, r.detections.scores, r.detections.boxes.tolist(), strict=True)
            ]
            for r in results
        ]

    return detect


CLIENT_PROTOCOLS = (
    ClientProtocol("grpc", detect_grpc),
    ClientProtocol("zmq", detect_zmq, takes_several=False, min_score=0.4, max_detections=20),
    ClientProtocol("python client", detect_client("native")),
    ClientProtocol("python client over oip", detect_client("oip")),
)
