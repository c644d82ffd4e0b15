"""Choice of device and precision."""

from __future__ import annotations

import pytest
import torch

from model_zoo.contract.errors import LineageError
from tests.training.tiny_models import CPU
from training.loop.precision import ComputePrecision, choose_device, choose_precision

CUDA = torch.device("cuda")


def test_cpu_computes_in_bf16_if_supported(monkeypatch: pytest.MonkeyPatch) -> None:
    for capabilities, expected in (
        ({"avx512_bf16": True}, "bf16"),
        ({"amx_bf16": True}, "bf16"),
        ({"avx2": True}, "fp32"),
    ):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda result=capabilities: result)
        assert choose_precision("auto", CPU.device) == expected


def test_gpu_without_bf16_computes_in_fp16(monkeypatch: pytest.MonkeyPatch) -> None:
    for supported, expected in ((True, "bf16"), (False, "fp16")):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation, result=supported: result)
        assert choose_precision("auto", CUDA) == expected


def test_requested_precision_is_used() -> None:
    assert choose_precision("fp32", CPU.device) == "fp32"
    assert choose_precision("fp16", CUDA) == "fp16"
    with pytest.raises(LineageError, match="fp16, which needs a GPU"):
        choose_precision("fp16", CPU.device)


def test_auto_device_is_the_gpu_of_the_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto").type == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("auto", local_rank=1) == torch.device("cuda", 1)
    assert choose_device("cuda:0") == torch.device("cuda", 0)


@pytest.mark.parametrize("name", ["gpu", "mps", "cuda:7"])
def test_unavailable_device_is_an_error(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(LineageError, match=f"--device: .*{name}"):
        choose_device(name)


def test_only_fp16_scales_gradients() -> None:
    assert ComputePrecision(CPU.device, torch.float16).grad_scaler().is_enabled()
    assert not ComputePrecision(CPU.device, torch.bfloat16).grad_scaler().is_enabled()
