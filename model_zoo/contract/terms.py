"""Terms that bind the users of weights: those of their license and of the weights they were trained from."""

from __future__ import annotations

from model_zoo.contract.card import WeightsOrigin
from model_zoo.contract.licenses import binding_terms, joint_licenses


def binding_licenses(weights: WeightsOrigin) -> dict[str, str]:
    """Return the licenses of weights and of their parents that bind, each with its terms."""
    licenses = (weights.license, *(parent.license for parent in weights.parents or ()))
    single = (part for license in licenses for part in joint_licenses(license))
    return {license: terms for license in single if (terms := binding_terms(license))}


def describe_parents(weights: WeightsOrigin) -> str:
    """Return one line about the parents of weights, with the terms that bind."""
    parents = ", ".join(f"{parent.name} ({parent.license})" for parent in weights.parents or ())
    return f"trained from {parents}" + "".join(f"; {name}: {text}" for name, text in binding_licenses(weights).items())
