"""Parameter groups, weight decay, and updates by the fused kernels."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from model_zoo.registry import build
from tests.training.tiny_models import toy_detector
from training.loop.optimizer import (
    BIASES,
    OTHERS,
    WEIGHTS,
    apply_settings,
    build_optimizer,
    group_parameters,
    scale_weight_decay,
    zero_momentum,
)
from training.loop.schedule import StepSettings
from training.recipe import Optimizer


def names(variant: str, kind: int) -> set[str]:
    detector = build(variant)
    group = {id(parameter) for parameter in group_parameters(detector)[kind]}
    return {name for name, parameter in detector.named_parameters() if id(parameter) in group}


def test_weights_of_convolutions_and_linear_layers_decay() -> None:
    assert {name.rpartition(".")[2] for name in names("yolov1-test", WEIGHTS)} == {"weight"}
    assert "neck.0.0.conv.weight" in names("yolov1-test", WEIGHTS)
    assert "head.predict.weight" in names("yolov1-test", WEIGHTS)
    assert "neck.1.0.weight" in names("yolov1-test", WEIGHTS)  # locally connected layer
    assert "head.predict.bias" in names("yolov1-test", BIASES)


def test_norms_and_implicit_knowledge_do_not_decay() -> None:
    others = names("yolov7-test", OTHERS)
    assert {"head.predict.0.add", "head.predict.0.multiply"} <= others
    assert {name for name in others if not name.startswith("head.")} == {
        name for name in others if name.endswith(".bn.weight")
    }


def test_every_trainable_parameter_is_in_one_group() -> None:
    detector = build("yolov6-test")
    grouped = [id(parameter) for group in group_parameters(detector) for parameter in group]
    assert sorted(grouped) == sorted(id(p) for p in detector.parameters() if p.requires_grad)


@pytest.mark.parametrize(("batch", "expected"), [(16, 5e-4), (64, 5e-4), (48, 5e-4 * 48 / 64), (96, 5e-4 * 96 / 64)])
def test_weight_decay_is_scaled_to_the_images_of_a_step(batch: int, expected: float) -> None:
    assert scale_weight_decay(Optimizer(), batch) == pytest.approx(expected)
    assert scale_weight_decay(replace(Optimizer(), accumulate=False), batch) == 5e-4


@pytest.mark.parametrize("channels_last", [False, True])
def test_sgd_uses_nesterov_momentum(channels_last: bool) -> None:
    detector = toy_detector().train()
    if channels_last:
        detector.to(memory_format=torch.channels_last)
    optimizer = build_optimizer(detector, Optimizer(), batch=64)
    conv, bias = detector.backbone.c2.conv1.conv.weight, detector.head.predict[0].bias
    expected = {p: (p.detach().clone(), torch.zeros_like(p), decay) for p, decay in ((conv, 5e-4), (bias, 0.0))}
    for settings in (StepSettings(0.01, 0.1, 0.8, 1), StepSettings(0.02, 0.05, 0.9, 1)):
        optimizer.zero_grad()
        sum(m.square().mean() for m in detector(torch.rand(2, 64, 64, 3).permute(0, 3, 1, 2))).backward()
        apply_settings(optimizer, settings)
        optimizer.step()
        for p, (value, momentum, decay) in expected.items():
            gradient = p.grad + decay * value
            momentum.mul_(settings.momentum).add_(gradient)
            lr = settings.bias_lr if p is bias else settings.lr
            value.sub_(lr * (gradient + settings.momentum * momentum))
            torch.testing.assert_close(p.detach(), value)


def test_zero_momentum_does_not_change_the_first_step() -> None:
    parameters = []
    for initialize in (False, True):
        detector = toy_detector().train()
        optimizer = build_optimizer(detector, Optimizer(), batch=64)
        if initialize:
            zero_momentum(optimizer)
        sum(m.square().mean() for m in detector(torch.ones(2, 3, 64, 64))).backward()
        optimizer.step()
        parameters.append(list(detector.parameters()))
    assert all(torch.equal(a, b) for a, b in zip(*parameters, strict=True))


def test_adamw_keeps_its_momentum() -> None:
    optimizer = build_optimizer(toy_detector(), Optimizer(name="adamw", lr=0.001), batch=64)
    apply_settings(optimizer, StepSettings(0.01, 0.1, 0.8, 1))
    assert [group["betas"] for group in optimizer.param_groups] == [(0.937, 0.999)] * 3
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.01, 0.01]
