"""The schemas that `make bench ARGS=--schemas` compares, made from the installed one."""

import subprocess
from collections.abc import Callable, Mapping
from typing import Any

import yaml

from nicplug_sandbox.operator_process import ROOT

Schema = dict[str, Any]
Change = Callable[[Schema], Schema]
_PRESERVE = "x-kubernetes-preserve-unknown-fields"
_MAP_TYPE = "x-kubernetes-map-type"
_PRESERVED = {"type": "object", _PRESERVE: True}


def as_installed(schema: Schema) -> Schema:
    """The CRD as it is."""
    return schema


def with_merged_status(schema: Schema) -> Schema:
    """The status is no atomic map: managedFields lists each of its members."""
    schema["properties"]["status"].pop(_MAP_TYPE, None)
    return schema


def with_untyped_status(schema: Schema) -> Schema:
    """Nothing of the status is typed; it is still one piece."""
    schema["properties"]["status"] = {**_PRESERVED, _MAP_TYPE: "atomic"}
    return schema


def without_rules(schema: Schema) -> Schema:
    """No CEL rule at all."""
    bare: Schema = _without(schema, member="x-kubernetes-validations")
    return bare


def without_schema(_schema: Schema) -> Schema:
    """Nothing is typed, and nothing pruned."""
    return dict(_PRESERVED)


def _without(value: Any, *, member: str) -> Any:
    if isinstance(value, list):
        return [_without(item, member=member) for item in value]
    if isinstance(value, dict):
        return {key: _without(item, member=member) for key, item in value.items() if key != member}
    return value


VARIANTS: Mapping[str, Change] = {
    "installed": as_installed,
    "merged": with_merged_status,
    "untyped": with_untyped_status,
    "ruleless": without_rules,
    "none": without_schema,
}


BEFORE = "before"


def definition(plural: str, *, variant: str, against: str = "") -> Schema:
    """The CRD of a kind with that schema; with BEFORE, as it is on the commit `against`."""
    if variant == BEFORE:
        return _crd_of_commit(against, plural)
    crd: Schema = yaml.safe_load((ROOT / "crds" / f"{plural}.yaml").read_text())
    for version in crd["spec"]["versions"]:
        schema = version["schema"]
        schema["openAPIV3Schema"] = VARIANTS[variant](schema["openAPIV3Schema"])
    return crd


def _crd_of_commit(revision: str, plural: str) -> Schema:
    shown = subprocess.run(
        ["git", "show", f"{revision}:crds/{plural}.yaml"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    crd: Schema = yaml.safe_load(shown.stdout)
    return crd
