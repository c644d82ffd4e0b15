"""The variant that a checkpoint was identified as."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Identification:
    """A variant, and the evidence for it."""

    variant: str
    """Name of the variant."""
    reason: str
    """Properties of the weights that identify the variant."""

    def __str__(self) -> str:
        return f"{self.variant}: {self.reason}"
