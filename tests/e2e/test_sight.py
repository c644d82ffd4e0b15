"""Metrics, log, traces, alert rules and dashboard of a real server."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import pytest
from httpx2 import Client
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open_metrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from model_zoo.contract.repository import Repository
from model_zoo.contract.rollout import Rollout, Shadow
from model_zoo.contract.set_rollout import set_rollout
from tests.conftest import ROOT
from tests.e2e.prometheus import DEPLOYED, PrometheusClient, all_queries, write_configuration
from tests.e2e.server import LISTENING, Server
from tests.service.app_client import png, wait_until
from tests.service.conftest import flat
from tests.tiny_onnx import toy_card, toy_onnx

OPEN_METRICS = {"Accept": "application/openmetrics-text; version=1.0.0"}
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
RED = png(flat(255))


def samples(server: Server, name: str, **labels: str) -> float:
    """Return the sum of all samples of a name whose labels match."""
    families = parse_text(server.client.get("/metrics").text)
    found = (s for family in families for s in family.samples if s.name == name)
    return sum(s.value for s in found if labels.items() <= s.labels.items())


def detect(server: Server, *images: bytes, headers: dict[str, str] | None = None, **query: str) -> Any:
    files = [("file", (f"{i}.png", image)) for i, image in enumerate(images)]
    return server.client.post("/detect", files=files, params=query, headers=headers)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sight")
    source = folder / "toy.onnx"
    source.write_bytes(toy_onnx(toy_card()))
    Repository(folder / "models").publish(toy_card(), {"model.onnx": source})
    return folder / "models"


@pytest.fixture(scope="module")
def used(models: Path) -> Iterator[Server]:
    """A server that has answered 3 images in 2 requests, and refused 4 requests."""
    with Server(models, log_format="json", header_timeout=1) as server:
        server.wait_until_ready()
        assert detect(server, RED, headers={"traceparent": PARENT}).status_code == 200
        assert detect(server, RED, RED, b"junk").status_code == 200
        assert detect(server, RED, model="unknown-1").status_code == 404
        assert detect(server, RED, score="7").status_code == 422
        assert detect(server, b"junk").status_code == 415
        assert server.client.get("/nowhere?secret=hidden-value").status_code == 404
        yield server


def test_sums_agree_with_the_requests(used: Server) -> None:
    toy = {"protocol": "native", "model": "toy", "version": "1"}
    assert samples(used, "lineage_requests_total", code="200", **toy) == 2
    assert samples(used, "lineage_requests_total", code="415", **toy) == 1
    assert samples(used, "lineage_requests_total", code="404", protocol="native", model="") == 1
    assert samples(used, "lineage_requests_total", protocol="native") == 5
    assert samples(used, "lineage_request_seconds_count", protocol="native") == 5
    assert samples(used, "lineage_refusals_total", reason="no-such-model") == 1
    assert samples(used, "lineage_image_refusals_total", reason="unsupported-image") == 2
    for stage in ("decode", "queue", "infer"):
        assert samples(used, "lineage_stage_seconds_count", model="toy", stage=stage) == 3
    assert samples(used, "lineage_batch_images_sum", model="toy") == 3
    assert samples(used, "lineage_postprocess_seconds_count", model="toy") == 3


def test_unknown_names_do_not_become_labels(used: Server) -> None:
    assert "unknown-1" not in used.client.get("/metrics").text


def test_detections_are_counted_by_class(used: Server) -> None:
    before = samples(used, "lineage_detections_total", model="toy", version="1")
    (result,) = detect(used, RED).json()["results"]
    assert result["detections"]
    assert samples(used, "lineage_detections_total", model="toy", version="1") == before + len(result["detections"])


def test_state_is_read_at_the_scrape(used: Server) -> None:
    assert samples(used, "lineage_ready") == 1
    assert samples(used, "lineage_model_state", model="toy", version="1", state="loaded") == 1
    assert samples(used, "lineage_model_state", state="failed") == 0
    assert samples(used, "lineage_engine_state", model="toy", state="ok") == 1
    assert samples(used, "lineage_model_loads_total", model="toy", result="loaded") == 1
    assert samples(used, "lineage_request_body_bytes") == 0
    assert samples(used, "lineage_request_body_limit_bytes") == 512 << 20
    assert samples(used, "lineage_connections") >= 1
    assert samples(used, "process_resident_memory_bytes") > 1e6


def test_malformed_http_is_counted(used: Server) -> None:
    before = samples(used, "lineage_refusals_total", reason="bad-request")
    with socket.create_connection(("127.0.0.1", used.port)) as connection:
        connection.sendall(b"nonsense\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 400")
    assert samples(used, "lineage_refusals_total", reason="bad-request") == before + 1


def test_open_metrics_parse(used: Server) -> None:
    response = used.client.get("/metrics", headers=OPEN_METRICS)
    assert response.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert response.text.endswith("# EOF\n")
    assert "lineage_requests" in {family.name for family in parse_open_metrics(response.text)}


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed (apt install prometheus)")
def test_names_follow_the_rules(used: Server) -> None:
    text = "\n".join(line for line in used.client.get("/metrics").text.split("\n") if "_created" not in line)
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)
    ours = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("lineage_")]
    assert ours == []


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed (apt install prometheus)")
def test_configuration_and_rules_are_valid() -> None:
    command = ["promtool", "check", "config", DEPLOYED / "prometheus.yml"]
    assert b"11 rules found" in subprocess.run(command, capture_output=True, check=True).stdout


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed (apt install prometheus)")
def test_rules_fire_when_they_should() -> None:
    subprocess.run(["promtool", "test", "rules", ROOT / "tests" / "e2e" / "alerts.test.yml"], check=True)


def test_compose_mounts_files_that_exist_into_pinned_images() -> None:
    yaml = pytest.importorskip("yaml")
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
    watching = [service for service in services.values() if service.get("profiles") == ["observability"]]
    mounts = [volume.split(":")[0] for service in watching for volume in service["volumes"]]
    assert len(watching) == 2
    assert [m for m in mounts if m.startswith("./") and not (ROOT / m).exists()] == []
    assert all(re.fullmatch(r"[a-z/]+:v?\d+\.\d+\.\d+", service["image"]) for service in watching)


def test_server_timing_has_the_stages(used: Server) -> None:
    response = detect(used, RED)
    names = re.findall(r"(\w+);dur=[0-9.]+", response.headers["server-timing"])
    assert names == ["receive", "decode", "queue", "infer", "total"]
    assert "server-timing" not in used.client.get("/models").headers


def access_lines(server: Server) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in server.log.splitlines()]
    return [line for line in lines if line["logger"] == "service.access"]


def test_access_lines_have_model_status_and_trace(used: Server) -> None:
    wait_until(lambda: any(line["message"] == "GET /nowhere" for line in access_lines(used)))
    first = access_lines(used)[0]
    assert first["message"] == "POST /detect"
    assert (first["status"], first["model"], first["version"]) == (200, "toy", "1")
    assert first["trace"] == PARENT.split("-")[1]
    assert first["received"] > len(RED)
    assert first["sent"] > 0
    assert "hidden-value" not in used.log
    assert not [line for line in access_lines(used) if "/metrics" in line["message"] or "/health" in line["message"]]


def test_log_that_nobody_reads_does_not_stop_the_server(models: Path) -> None:
    """The pipe holds 64 KiB, which is less than 800 lines."""
    command = [sys.executable, "-m", "lineage", "serve", f"--repository={models}", "--port=0"]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        port = next(match[1] for line in process.stderr if (match := LISTENING.search(line)))
        try:
            with Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
                assert {client.get("/models").status_code for _ in range(800)} == {200}
        finally:
            process.kill()


class Receiver(BaseHTTPRequestHandler):
    """Receives OTLP/HTTP."""

    bodies: list[bytes]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.bodies.append(gzip.decompress(body) if self.headers["content-encoding"] == "gzip" else body)
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bytes]]:
    """The bodies that an OTLP receiver got from servers that start now."""
    pytest.importorskip("opentelemetry.proto")
    handler = type("Handler", (Receiver,), {"bodies": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as receiver:
        threading.Thread(target=receiver.serve_forever, daemon=True).start()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{receiver.server_port}")
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        yield handler.bodies
        receiver.shutdown()


def received_spans(bodies: list[bytes]) -> dict[str, Any]:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    requests = [ExportTraceServiceRequest.FromString(body) for body in list(bodies)]
    resources = [resource for request in requests for resource in request.resource_spans]
    spans = [span for resource in resources for scope in resource.scope_spans for span in scope.spans]
    return {span.name: span for span in spans}


def values(attributes: Any) -> dict[str, Any]:
    return {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in attributes}


def test_traces_arrive_with_parent_links_and_attributes(models: Path, collector: list[bytes]) -> None:
    with Server(models, tracing=True) as server:
        server.wait_until_ready()
        assert detect(server, RED, headers={"traceparent": PARENT}).status_code == 200
        wait_until(lambda: {"POST /detect", "batch"} <= received_spans(collector).keys())
    spans = received_spans(collector)
    request, infer, batch = spans["POST /detect"], spans["infer"], spans["batch"]
    _, trace, parent, _ = PARENT.split("-")
    assert (request.trace_id.hex(), request.parent_span_id.hex()) == (trace, parent)
    attributes = values(request.attributes)
    assert attributes["http.route"] == "/detect"
    assert (attributes["http.request.method"], attributes["http.response.status_code"]) == ("POST", 200)
    assert (attributes["lineage.model.name"], attributes["lineage.images"]) == ("toy", 1)
    for name in ("receive", "decode", "queue", "infer"):
        assert spans[name].parent_span_id == request.span_id
        assert request.start_time_unix_nano <= spans[name].start_time_unix_nano
        assert spans[name].end_time_unix_nano <= request.end_time_unix_nano
    assert [link.span_id for link in infer.links] == [batch.span_id]
    assert batch.trace_id != request.trace_id
    assert values(batch.attributes) == {"lineage.batch.images": 1}


class PrometheusServer(PrometheusClient):
    """A Prometheus server that scrapes one target, with the rules of the project."""

    def __init__(self, folder: Path, target: int) -> None:
        config = write_configuration(folder, f"127.0.0.1:{target}")
        shutil.copy(DEPLOYED / "alerts.yml", folder)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{free.getsockname()[1]}"
        options = [f"--config.file={config}", f"--storage.tsdb.path={folder}/data"]
        self.process = subprocess.Popen(
            ["prometheus", *options, f"--web.listen-address={address}"], stderr=subprocess.DEVNULL
        )
        super().__init__(address)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        self.process.terminate()
        self.process.wait()


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("prometheus"), reason="Prometheus is not installed (apt install prometheus)")
def test_all_queries_return_data(models: Path, tmp_path: Path) -> None:
    queries = all_queries()
    assert len(queries) > 40
    repository = Repository(tmp_path / "models")
    for _ in range(2):
        repository.publish(toy_card(), {"model.onnx": models / "toy" / "1" / "model.onnx"})
    set_rollout(repository, "toy", Rollout(stable="1", shadow=Shadow("2", 100)))
    with Server(repository.root) as server, PrometheusServer(tmp_path, server.wait_until_ready().port) as prometheus:
        wait_until(prometheus.is_ready)

        def missing() -> list[str]:
            detect(server, RED, b"junk")
            return [query for query in queries if not prometheus.query(query)]

        end = time.monotonic() + 60
        while (left := missing()) and time.monotonic() < end:
            time.sleep(0.2)
        assert left == []
        assert prometheus.is_up()
