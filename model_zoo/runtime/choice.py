"""The configuration that an engine runs with, and the measurements that chose it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from model_zoo.contract.errors import LineageError

Provider = Literal["auto", "cpu", "cuda", "tensorrt", "openvino"]
Compute = Literal["auto", "fp32", "bf16"]


class Configuration(NamedTuple):
    """Provider and precision, which are chosen by measuring."""

    provider: Provider
    """Execution provider of ONNX Runtime, or openvino."""
    compute: Compute
    """Precision of float32 layers."""

    def __str__(self) -> str:
        """Return the name in logs and tables."""
        return f"{self.provider} {self.compute}"


DEFAULT: Final = Configuration("cpu", "fp32")


def check_compute(provider: Provider, compute: Compute) -> None:
    """Check that a provider computes in a precision.

    Raises:
        LineageError: It is bfloat16, and the provider another than OpenVINO.
    """
    if compute == "bf16" and provider not in ("auto", "openvino"):
        raise LineageError(
            f"compute bf16: expected provider openvino or auto; got {provider}, which computes in the file's own "
            "precision; leave the provider or compute out"
        )


@dataclass(frozen=True)
class _Configured:
    """Provider and precision as fields, as in JSON."""

    provider: Provider = "auto"
    """Execution provider of ONNX Runtime."""
    compute: Compute = "fp32"
    """Precision of float32 layers."""

    @property
    def configuration(self) -> Configuration:
        """The configuration."""
        return Configuration(self.provider, self.compute)


@dataclass(frozen=True)
class Trial(_Configured):
    """Measurements of one configuration on this machine."""

    lone_ms: float = 0.0
    """Milliseconds of one image while no other is under way."""
    images_per_second: float = 0.0
    """Images per second of all workers together."""
    memory_mb: float = 0.0
    """Growth of a process that loads and runs the model, in megabytes."""
    agreement: float = 0.0
    """Share of the detections on golden images that equal the expected ones within the tolerance."""
    problem: str | None = None
    """Why the configuration cannot be used, or None if it can."""


@dataclass(frozen=True)
class Choice(_Configured):
    """The configuration of an engine."""

    trials: tuple[Trial, ...] = ()
    """Measurements of all configurations. Empty: there was one, or it was given."""

    @property
    def measured(self) -> Trial | None:
        """Measurements of the chosen configuration."""
        return next((trial for trial in self.trials if trial.configuration == self.configuration), None)

    def describe(self) -> str:
        """Return the configuration with its measurements, and those of the others."""
        if not (chosen := self.measured):
            return str(self.configuration)
        others = [trial for trial in self.trials if trial is not chosen]
        against = ", ".join(f"{t.configuration}: {t.problem or f'{t.images_per_second:.1f} images/s'}" for t in others)
        return (
            f"{chosen.configuration}: {chosen.images_per_second:.1f} images/s, {chosen.lone_ms:.1f} ms if alone, "
            f"{chosen.agreement:.1%} of the golden detections agree; {against}"
        )
