"""The Kubernetes manifests: valid, and in agreement with the server's own settings."""

from __future__ import annotations

import inspect
import os
import shutil
import subprocess
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from lineage.cli.pull import pull
from service.settings import PREFIX, Settings, unknown_variables
from tests.conftest import ROOT
from tests.service.deploy.kubernetes.manifests import (
    MANIFESTS,
    Manifest,
    errors,
    one,
    pods,
    render,
    render_folder,
    server,
)

OVERLAYS = sorted(folder.name for folder in (MANIFESTS / "overlays").iterdir())
OWN = [name for name in OVERLAYS if name != "kserve"]
STOP_MARGIN = 5  # seconds beyond drain_seconds and timeout
COMMON = ["Deployment", "NetworkPolicy", "PodDisruptionBudget", "Service"]
KINDS = {
    "cpu": sorted([*COMMON, "HorizontalPodAutoscaler", "PersistentVolumeClaim", "ServiceMonitor"]),
    "gpu": sorted([*COMMON, "HorizontalPodAutoscaler", "PersistentVolumeClaim", "ServiceMonitor"]),
    "kserve": ["InferenceService", "ServingRuntime"],
    "pull": COMMON,
}


def environment(container: Manifest) -> dict[str, str]:
    return {variable["name"]: variable["value"] for variable in container["env"]}


def settings_of(container: Manifest, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Return the settings that a container's environment and arguments mean."""
    for name, value in environment(container).items():
        monkeypatch.setenv(name, value)
    command, *flags = container["args"]
    assert command == "serve"
    names = (flag.removeprefix("--").replace("-", "_") for flag in flags[::2])
    return Settings(**dict(zip(names, flags[1::2], strict=True)))


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_manifests_match_the_published_schemas(overlay: str) -> None:
    assert sorted(manifest["kind"] for manifest in render(overlay)) == KINDS[overlay]
    assert [error for manifest in render(overlay) for error in errors(manifest)] == []


def test_schemas_refuse_misspelled_and_mistyped_fields() -> None:
    manifest = deepcopy(one("cpu", "Deployment"))
    container = manifest["spec"]["template"]["spec"]["containers"][0]
    container["readynessProbe"] = container.pop("readinessProbe")
    container["ports"][0]["containerPort"] = "eight thousand"
    mistyped, misspelled = sorted(errors(manifest))
    assert "readynessProbe" in misspelled
    assert "eight thousand" in mistyped


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_environment_and_arguments_are_settings(overlay: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if overlay == "kserve":
        pytest.importorskip("grpc", reason="needs the extra grpc")
    container = server(overlay)
    settings = settings_of(container, monkeypatch)
    assert unknown_variables(environment(container)) == []
    ports = [port["containerPort"] for port in container["ports"]]
    assert ports == [port for port in (settings.port, settings.grpc_port) if port]
    assert settings.host == "0.0.0.0"
    mounted = {mount["mountPath"] for mount in container["volumeMounts"]} | {"/mnt/models"}  # KServe mounts that one
    assert {str(settings.repository), "/tmp"} <= mounted


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_pods_live_longer_than_a_stop_takes(overlay: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(PREFIX + "GRPC_PORT", raising=False)
    variables = environment(server(overlay))
    settings = Settings(timeout=variables["LINEAGE_TIMEOUT"], drain_seconds=variables["LINEAGE_DRAIN_SECONDS"])
    assert settings.timeout == Settings.model_fields["timeout"].default
    (pod,) = pods(overlay)
    stop = settings.drain_seconds + settings.timeout + STOP_MARGIN
    assert pod["terminationGracePeriodSeconds"] > stop
    probe = server(overlay)["readinessProbe"]
    assert settings.drain_seconds > probe["periodSeconds"] * probe["failureThreshold"] + probe["timeoutSeconds"]


def test_containers_of_compose_live_longer_than_a_stop_takes() -> None:
    yaml = pytest.importorskip("yaml", reason="reading docker-compose.yml needs PyYAML")
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
    for name in ("cpu", "gpu"):
        drain = float(services[name]["environment"]["LINEAGE_DRAIN_SECONDS"].partition(":-")[2].rstrip("}"))
        grace = float(services[name]["stop_grace_period"].removesuffix("s"))
        assert grace > drain + Settings.model_fields["timeout"].default + STOP_MARGIN


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_probes_ask_addresses_of_the_server(overlay: str, client: TestClient) -> None:
    container = server(overlay)
    http = container["ports"][0]
    for name in ("startupProbe", "livenessProbe", "readinessProbe"):
        probe = container[name]["httpGet"]
        assert probe["port"] in (http["name"], http["containerPort"])
        assert client.get(probe["path"]).status_code == 200
        assert ("ready" in probe["path"]) == (name == "readinessProbe")


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_containers_have_no_privileges(overlay: str) -> None:
    (pod,) = pods(overlay)
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["runAsUser"] == user_of_images()
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not pod["automountServiceAccountToken"]
    for container in [*pod.get("initContainers", []), *pod["containers"]]:
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


def user_of_images() -> int:
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    return int(text.partition("--uid ")[2].split()[0])


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_variables_of_services_do_not_change_settings(overlay: str) -> None:
    """Kubernetes sets LINEAGE_PORT=tcp://... in each pod beside a service called `lineage`."""
    (pod,) = pods(overlay)
    assert not pod["enableServiceLinks"]
    assert PREFIX + "PORT" in environment(server(overlay))


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_limits_are_whole_cores_that_are_reserved(overlay: str) -> None:
    (pod,) = pods(overlay)
    for container in [*pod.get("initContainers", []), *pod["containers"]]:
        resources = container["resources"]
        assert int(resources["limits"]["cpu"]) >= 1
        assert resources["requests"].items() <= resources["limits"].items()


@pytest.mark.parametrize("overlay", OWN)
def test_selectors_and_ports_name_the_pods(overlay: str) -> None:
    template = one(overlay, "Deployment")["spec"]["template"]
    labels, port = template["metadata"]["labels"], template["spec"]["containers"][0]["ports"][0]["name"]
    service, policy = one(overlay, "Service"), one(overlay, "NetworkPolicy")["spec"]
    assert service["spec"]["selector"] == policy["podSelector"]["matchLabels"] == labels
    assert one(overlay, "PodDisruptionBudget")["spec"]["selector"]["matchLabels"] == labels
    assert service["spec"]["ports"][0]["targetPort"] == policy["ingress"][0]["ports"][0]["port"] == port
    volumes = {volume["name"] for volume in template["spec"]["volumes"]}
    containers = [*template["spec"].get("initContainers", []), *template["spec"]["containers"]]
    assert {mount["name"] for container in containers for mount in container["volumeMounts"]} == volumes


@pytest.mark.parametrize("overlay", ["cpu", "gpu"])
def test_metrics_are_scraped_and_scale_the_deployment(overlay: str, client: TestClient) -> None:
    monitor, scaler = one(overlay, "ServiceMonitor")["spec"], one(overlay, "HorizontalPodAutoscaler")["spec"]
    service, deployment = one(overlay, "Service"), one(overlay, "Deployment")
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert monitor["endpoints"][0]["port"] == service["spec"]["ports"][0]["name"]
    assert client.get(monitor["endpoints"][0]["path"]).status_code == 200
    assert scaler["scaleTargetRef"]["name"] == deployment["metadata"]["name"]
    assert "replicas" not in deployment["spec"]  # `kubectl apply` would undo the autoscaler
    assert scaler["metrics"][0]["pods"]["metric"]["name"] == adapter_rule()["name"]["as"]


def test_init_container_pulls_into_the_volume_that_is_served() -> None:
    (pod,) = pods("pull")
    (container,) = pod["initContainers"]
    command, variant, *flags = container["args"]
    options = dict(zip(flags[::2], flags[1::2], strict=True))
    assert command == "pull"
    assert variant
    assert {name.removeprefix("--") for name in options} <= set(inspect.signature(pull).parameters)
    assert options["--repository"] == server("pull")["args"][2]
    assert one("pull", "NetworkPolicy")["spec"]["egress"] != []


def test_overlay_of_the_docs_requires_keys(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
    text = page.partition("# kustomization.yaml")[2].partition("```")[0]
    text = text.replace("service/deploy/kubernetes", os.path.relpath(MANIFESTS, tmp_path))
    (tmp_path / "kustomization.yaml").write_text(text, encoding="utf-8")
    manifests = {manifest["kind"]: manifest for manifest in render_folder(tmp_path)}
    assert [error for manifest in manifests.values() for error in errors(manifest)] == []
    assert {manifest["metadata"]["namespace"] for manifest in manifests.values()} == {"vision"}
    container = manifests["Deployment"]["spec"]["template"]["spec"]["containers"][0]
    assert container["image"] == "registry.example/yolo-lineage:cpu"
    assert environment(container)["LINEAGE_KEYS"] == "/keys/keys.json"
    assert "/keys" in {mount["mountPath"] for mount in container["volumeMounts"]}
    assert "authorization" in manifests["ServiceMonitor"]["spec"]["endpoints"][0]


def test_kserve_names_one_model_and_both_protocols() -> None:
    runtime, service = one("kserve", "ServingRuntime"), one("kserve", "InferenceService")
    model = service["spec"]["predictor"]["model"]
    assert model["runtime"] == runtime["metadata"]["name"]
    assert model["modelFormat"]["name"] == runtime["spec"]["supportedModelFormats"][0]["name"]
    assert model["protocolVersion"] in runtime["spec"]["protocolVersions"]
    assert [port["name"] for port in server("kserve")["ports"]] == ["http1", "h2c"]


def adapter_rule() -> dict[str, Any]:
    yaml = pytest.importorskip("yaml", reason="reading manifests needs PyYAML")
    file = MANIFESTS / "components" / "autoscaling" / "prometheus-adapter.yaml"
    (rule,) = yaml.safe_load(file.read_text(encoding="utf-8"))["rules"]["custom"]
    return dict(rule)


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed (apt install prometheus)")
def test_rule_of_the_adapter_is_the_mean_wait(tmp_path: Path) -> None:
    """promtool runs the query on two pods: 0.25 s for each of 2 images per second, and no image."""
    query = adapter_rule()["metricsQuery"].replace("<<.LabelMatchers>>", 'namespace="vision",pod=~"a|b"')
    series = 'lineage_stage_seconds_{}{{stage="queue",model="toy",namespace="vision",pod="{}"}}'
    values = {("sum", "a"): "0+7.5x20", ("count", "a"): "0+30x20", ("sum", "b"): "0+0x20", ("count", "b"): "0+0x20"}
    (tmp_path / "test.yml").write_text(
        "tests:\n  - interval: 15s\n    input_series:\n"
        + "".join(f"      - {{series: '{series.format(*key)}', values: '{value}'}}\n" for key, value in values.items())
        + f"    promql_expr_test:\n      - expr: |-\n          {query.replace('<<.GroupBy>>', 'pod')}\n".replace(
            "\n/", "\n          /"
        )
        + "        eval_time: 4m\n        exp_samples:\n"
        + "          - {labels: '{pod=\"a\"}', value: 0.25}\n          - {labels: '{pod=\"b\"}', value: 0}\n",
        encoding="utf-8",
    )
    command = ["promtool", "test", "rules", "test.yml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
