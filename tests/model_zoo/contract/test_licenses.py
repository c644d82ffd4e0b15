from __future__ import annotations

import pytest

from model_zoo.contract.errors import LineageError
from model_zoo.contract.licenses import UNDECLARED, UNKNOWN, binding_terms, checked_license, combine, joint_licenses


@pytest.mark.parametrize(
    "license",
    [
        *("Apache-2.0", "MIT", "BSD-3-Clause", "CC0-1.0", "CC-BY-4.0", "LicenseRef-Darknet", UNDECLARED, "Unlicense"),
        *("MIT AND Apache-2.0", "GPL-3.0 OR MIT", "(Apache-2.0)"),
    ],
)
def test_permissive_licenses_bind_nobody(license: str) -> None:
    assert binding_terms(license) == ""


@pytest.mark.parametrize(
    ("license", "terms"),
    [
        ("AGPL-3.0", "network service"),
        ("AGPL-3.0-or-later", "network service"),
        ("GPL-3.0", "distributed product"),
        ("LGPL-2.1", "changes must be distributed"),
        ("CC-BY-NC-4.0", "commercial use is not permitted"),
        ("CC-BY-NC-SA-4.0", "commercial use is not permitted"),
        ("CC-BY-SA-4.0", "adapted material"),
        ("CC-BY-ND-4.0", "changed weights"),
        ("CreativeML-OpenRAIL-M", "uses listed"),
        (UNKNOWN, "ask for the license"),
        ("MIT AND AGPL-3.0", "network service"),
        ("Acme-EULA", "read its terms"),
    ],
)
def test_terms_that_bind_are_named(license: str, terms: str) -> None:
    assert terms in binding_terms(license)


def test_licenses_of_parents_are_combined() -> None:
    assert combine(["MIT", "Apache-2.0"]) == combine([]) == UNDECLARED
    assert combine(["AGPL-3.0", "MIT", "GPL-3.0", "AGPL-3.0"]) == "AGPL-3.0 AND GPL-3.0"


@pytest.mark.parametrize("license", ["", "  ", "MIT\nGPL", "x" * 300])
def test_unusable_licenses_are_refused(license: str) -> None:
    with pytest.raises(LineageError, match="--license: expected an SPDX identifier"):
        checked_license(license)


@pytest.mark.parametrize(
    ("license", "terms"),
    [
        ("(MIT OR GPL-3.0) AND CC-BY-NC-4.0", "commercial"),
        ("MIT OR GPL-3.0 AND CC-BY-NC-4.0", ""),
        ("(GPL-3.0 AND MIT) OR AGPL-3.0", "distributed product"),
        ("(MIT AND GPL-3.0", "distributed product"),
        ("(" * 3000 + "MIT" + ")" * 3000, ""),
    ],
)
def test_parentheses_bind_tighter_than_and_tighter_than_or(license: str, terms: str) -> None:
    assert terms in binding_terms(license)
    assert bool(binding_terms(license)) == bool(terms)


def test_joint_licenses_are_listed_one_by_one() -> None:
    assert joint_licenses("(MIT AND (GPL-3.0))") == ["MIT", "GPL-3.0"]
    assert joint_licenses("(MIT OR X) AND GPL-3.0, Y") == ["MIT OR X", "GPL-3.0", "Y"]
    assert combine(["GPL-3.0 OR AGPL-3.0", "CC-BY-NC-4.0 AND GPL-3.0"]) == (
        "(GPL-3.0 OR AGPL-3.0) AND CC-BY-NC-4.0 AND GPL-3.0"
    )
