"""JSON schemas in the documentation of /admin."""

from __future__ import annotations

import pytest

from model_zoo.contract.rollout import parse_rollout
from service.api.admin_schemas import ROLLOUT_SCHEMA
from tests.service.api.conftest import POLICY


def test_documented_schema_of_a_policy_is_that_of_the_reader() -> None:
    schema = pytest.importorskip("jsonschema_rs").validator_for(ROLLOUT_SCHEMA)
    assert schema.is_valid(POLICY)
    for wrong in (
        {"stabel": 1},
        {"canary": {"percent": 5}},
        {"shadow": {"version": 1, "percent": 101}},
        {"canary": {"version": 1, "sticky": "a b"}},
        {"canary": {"version": 1, "header": {"name": "x", "value": "on "}}},
        {"stable": ""},
        {"shadow": {"version": 0}},
    ):
        assert not schema.is_valid(wrong)
        with pytest.raises(ValueError, match="expected"):
            parse_rollout(wrong)
