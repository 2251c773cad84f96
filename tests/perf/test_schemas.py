"""The schemas that the bench compares differ from the installed one as they say, and in nothing else."""

import copy
import json
import subprocess
from typing import Any

import pytest
import yaml
from tests.perf.schema_variants import BEFORE, VARIANTS, definition
from tests.perf.schemas import FORMS, USUAL, _Target, _weigh

from nicplug_sandbox.node.api import Resource
from nicplug_sandbox.operator_process import ROOT


@pytest.fixture(scope="module")
def installed() -> dict[str, Any]:
    return schema_of(yaml.safe_load((ROOT / "crds" / "virtualmachineinstances.yaml").read_text()))


def schema_of(crd: dict[str, Any]) -> dict[str, Any]:
    (version,) = crd["spec"]["versions"]
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


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("plural", ["virtualmachineinstances", "virtualmachines"])
def test_nothing_but_the_schema_is_changed(plural: str, variant: str) -> None:
    found, installed = (definition(plural, variant=name) for name in (variant, "installed"))
    assert schema_of(found) == VARIANTS[variant](schema_of(installed))
    for crd in (found, installed):
        crd["spec"]["versions"][0].pop("schema")
    assert found == installed


def test_the_schema_of_another_commit_is_that_of_git() -> None:
    """Of HEAD, since a clone may have no other commit."""
    shown = subprocess.run(
        ["git", "show", "HEAD:crds/virtualmachines.yaml"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert definition("virtualmachines", variant=BEFORE, against="HEAD") == yaml.safe_load(shown.stdout)


def test_every_form_asks_for_the_same_change() -> None:
    resource = Resource(prefix="/apis/x.schemas.test/v1", plural="virtualmachineinstances")
    target = _Target(resource=resource, kind="VirtualMachineInstance", status={"phase": "Running", "conditions": [1]})
    bodies = {name: form.body(target, [{"was": 1}], [{"is": 2}]) for name, form in FORMS.items()}
    assert bodies["unchecked"] == bodies["json"]
    assert bodies["json"][-1] == {"op": "add", "path": "/status/conditions", "value": [{"is": 2}]}
    assert bodies["merge"] == {"status": {"conditions": [{"is": 2}]}}
    assert bodies["apply"]["status"] == {"phase": "Running", "conditions": [{"is": 2}]}
    assert bodies["apply"]["apiVersion"] == "x.schemas.test/v1"
    assert USUAL.query == {"fieldValidation": "Ignore"}
