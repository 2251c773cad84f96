"""The schemas that the bench compares differ from the installed one as they say, and in nothing else."""

import copy
import json
from typing import Any

import pytest
import yaml
from tests.perf.schemas import CRD, VARIANTS, _weigh


@pytest.fixture(scope="module")
def installed() -> dict[str, Any]:
    (version,) = yaml.safe_load(CRD.read_text())["spec"]["versions"]
    schema: dict[str, Any] = version["schema"]["openAPIV3Schema"]
    return schema


def changed(installed: dict[str, Any], variant: str) -> dict[str, Any]:
    return VARIANTS[variant](copy.deepcopy(installed))


def test_the_installed_one_is_measured_as_it_is(installed: dict[str, Any]) -> None:
    assert changed(installed, "installed") == installed
    assert installed["properties"]["status"]["x-kubernetes-map-type"] == "atomic"


def test_a_merged_status_is_not_atomic_and_otherwise_the_same(installed: dict[str, Any]) -> None:
    found = changed(installed, "merged")
    found["properties"]["status"]["x-kubernetes-map-type"] = "atomic"
    assert found != changed(installed, "merged")
    assert found == installed


def test_an_untyped_status_keeps_the_spec(installed: dict[str, Any]) -> None:
    found = changed(installed, "untyped")
    assert "properties" not in found["properties"]["status"]
    assert {name: item for name, item in found["properties"].items() if name != "status"} == {
        name: item for name, item in installed["properties"].items() if name != "status"
    }


def test_without_rules_everything_else_stays(installed: dict[str, Any]) -> None:
    bare = VARIANTS["ruleless"](copy.deepcopy(installed))
    assert "x-kubernetes-validations" not in json.dumps(bare)
    ruled = copy.deepcopy(bare)
    ruled["properties"]["spec"]["x-kubernetes-validations"] = [{"rule": "has(self.domain)"}]
    assert VARIANTS["ruleless"](ruled) == bare


def test_without_a_schema_nothing_is_pruned(installed: dict[str, Any]) -> None:
    assert changed(installed, "none") == {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def test_the_size_of_managed_fields_is_a_part_of_the_object() -> None:
    assert _weigh({"metadata": {"managedFields": [{}]}}) == {
        "bytes": len('{"metadata":{"managedFields":[{}]}}'),
        "managed_fields": len("[{}]"),
    }
