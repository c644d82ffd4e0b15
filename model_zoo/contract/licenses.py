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
    text = license.strip("() ")
    if alternatives := re.split(r"\s+or\s+", text, flags=re.IGNORECASE)[1:]:
        first = re.split(r"\s+or\s+", text, flags=re.IGNORECASE)[0]
        terms = [binding_terms(choice) for choice in (first, *alternatives)]
        return "" if "" in terms else terms[0]
    parts = re.split(r"\s+and\s+|\s*,\s*", text.lower())
    binding = [part for part in parts if not _PERMISSIVE.match(part.strip("() "))]
    return "; ".join(dict.fromkeys(_terms(part) for part in binding))


def combine(licenses: Iterable[str]) -> str:
    """Return the license of weights trained from weights of these licenses: all that bind, or UNDECLARED."""
    return " AND ".join(dict.fromkeys(license for license in licenses if binding_terms(license))) or UNDECLARED


def checked_license(license: str) -> str:
    """Return the text of --license.

    Raises:
        LineageError: It is empty, too long, or has several lines.
    """
    text = license.strip()
    if not text or len(text) > MAX_LENGTH or not text.isprintable():
        raise LineageError(f"--license: expected an SPDX identifier such as Apache-2.0; got {license[:100]!r}")
    return text


def _terms(license: str) -> str:
    return next(terms for pattern, terms in _TERMS if re.search(pattern, license))
