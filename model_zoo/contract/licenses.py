"""Licenses of weights: which terms bind everyone who uses, changes or serves them.

Licenses are SPDX identifiers, or expressions of them with AND and OR. This is a hint for people, not legal advice.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from model_zoo.contract.errors import LineageError

UNKNOWN: Final = "unknown"
UNDECLARED: Final = "NOASSERTION"  # SPDX: trained here, and the owner has not chosen a license
MAX_LENGTH: Final = 200
_PERMISSIVE: Final = re.compile(
    r"apache|mit\b|bsd|isc\b|0bsd|zlib|unlicense|cc0|cc-by-\d|bsl|wtfpl|licenseref-darknet|public.?domain|noassertion"
)
_OR: Final = r"\s+or\s+"
_AND: Final = r"\s+and\s+|\s*,\s*"
_MAX_NESTING: Final = 20  # of parentheses; those of deeper expressions are ignored
_TERMS: Final = (  # the first match counts
    (r"agpl", "a product or network service that uses them must offer its complete source under the same license"),
    (r"lgpl|mpl|epl|cddl|eupl", "changes must be distributed under the same license"),
    (r"gpl", "a distributed product that contains them must offer its complete source under the same license"),
    (r"-nc\b|non-?commercial|research", "commercial use is not permitted"),
    (r"-nd\b", "changed weights must not be distributed"),
    (r"-sa\b|odbl", "adapted material must be distributed under the same license"),
    (r"openrail|rail-", "uses listed in the license are not permitted"),
    (r"unknown", "the owner may not permit your use: ask for the license"),
    (r"", "read its terms before use"),
)


def binding_terms(license: str) -> str:
    """Return what a license demands of its users beyond notices, empty if it is permissive."""
    license = _normalized(license)
    if len(choices := _split(license, _OR)) > 1:
        terms = [binding_terms(choice) for choice in choices]
        return "" if "" in terms else terms[0]
    if len(parts := _split(license, _AND)) > 1:
        return "; ".join(dict.fromkeys(filter(None, map(binding_terms, parts))))
    return "" if _PERMISSIVE.match(license.lower()) else _terms(license.lower())


def joint_licenses(license: str) -> list[str]:
    """Return the licenses that apply together: the operands of AND, of which each may be a choice."""
    license = _normalized(license)
    if len(_split(license, _OR)) > 1:
        return [license]
    parts = _split(license, _AND)
    return [single for part in parts for single in joint_licenses(part)] if len(parts) > 1 else [license]


def combine(licenses: Iterable[str]) -> str:
    """Return the license of weights trained from weights of these licenses: all that bind, or UNDECLARED."""
    binding = [part for license in licenses for part in joint_licenses(license) if binding_terms(part)]
    operands = [f"({part})" if len(binding) > 1 and len(_split(part, _OR)) > 1 else part for part in binding]
    return " AND ".join(dict.fromkeys(operands)) or UNDECLARED


def checked_license(license: str) -> str:
    """Return the text of --license.

    Raises:
        LineageError: It is empty, too long, or has several lines.
    """
    text = license.strip()
    if not text or len(text) > MAX_LENGTH or not text.isprintable():
        raise LineageError(f"--license: expected an SPDX identifier such as Apache-2.0; got {license[:100]!r}")
    return text


def _normalized(license: str) -> str:
    """Remove blanks and parentheses around an expression, and all parentheses if they are not paired."""
    if license.count("(") != license.count(")") or license.count("(") > _MAX_NESTING:
        license = re.sub(r"[()]", " ", license)
    license = license.strip()
    is_wrapped = license.startswith("(") and license.endswith(")") and len(_split(license, rf"{_OR}|{_AND}")) == 1
    return _normalized(license[1:-1]) if is_wrapped else license


def _split(license: str, operator: str) -> list[str]:
    """Split an expression at an operator that is outside of parentheses."""
    parts, depth, start = [], 0, 0
    for match in re.finditer(rf"[()]|{operator}", license, re.IGNORECASE):
        if match[0] in ("(", ")"):
            depth += 1 if match[0] == "(" else -1
        elif depth == 0:
            parts.append(license[start : match.start()])
            start = match.end()
    return [*parts, license[start:]]


def _terms(license: str) -> str:
    return next(terms for pattern, terms in _TERMS if re.search(pattern, license))
