"""What kubectl would send for a manifest, and under whose name."""

import json
from typing import Any

import pytest
from tests.build import nic, primary, vm, vmi

from nicplug.cli.applied import LAST_APPLIED, applier, merge_patch

Json = dict[str, Any]


def fields(*names: str, is_vm: bool = True) -> Json:
    """What a manager owns."""
    spec: Json = {"f:domain": {"f:devices": {"f:interfaces": {f'k:{{"name":"{name}"}}': {} for name in names}}}}
    return {"f:spec": {"f:template": {"f:spec": spec}} if is_vm else spec}


def entry(manager: str, owned: Json, *, operation: str = "Apply", time: str = "1", subresource: str = "") -> Json:
    return {
        "manager": manager,
        "operation": operation,
        "time": time,
        "subresource": subresource,
        "fieldsV1": owned,
    }


MANIFEST = vm(primary(), nic("red"))


@pytest.mark.parametrize(
    ("entries", "annotations", "manager"),
    [
        ([], {}, ""),
        ([entry("flux", fields("default", "red"))], {}, "flux"),
        ([entry("flux", fields("default", "red"))], {LAST_APPLIED: "{}"}, ""),
        ([entry("edit", fields("default", "red"), operation="Update")], {}, ""),
        ([entry("nicplug", fields("red"), subresource="status")], {}, ""),
        ([entry("a", fields("blue"), time="2"), entry("b", fields("default", "red"))], {}, "b"),
        ([entry("a", fields("red"), time="1"), entry("b", fields("red"), time="2")], {}, "b"),
        ([entry("labels", {"f:metadata": {}})], {}, ""),
    ],
    ids=[
        "nobody",
        "server-side",
        "client-side",
        "not applied",
        "a subresource",
        "owns most",
        "the last of two",
        "owns no spec",
    ],
)
def test_whose_apply_it_would_be(entries: list[Json], annotations: Json, manager: str) -> None:
    assert applier(MANIFEST, live={"metadata": {"managedFields": entries, "annotations": annotations}}) == manager


def test_the_owner_of_the_nics_of_a_bare_instance() -> None:
    entries = [entry("a", fields("red", is_vm=False)), entry("b", fields("blue", is_vm=False), time="2")]
    assert applier(vmi(primary(), nic("red")), live={"metadata": {"managedFields": entries}}) == "a"


@pytest.mark.parametrize(
    ("before", "wanted", "patch"),
    [
        ({}, {"a": [1]}, {"a": [1]}),
        ({"a": 1, "b": 2}, {"b": 2}, {"a": None, "b": 2}),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}}, {"a": {"b": 3, "c": None}}),
        ({"a": 1}, {"a": {"b": 3}}, {"a": {"b": 3}}),
    ],
)
def test_what_the_last_manifest_had_and_this_one_has_not_is_deleted(before: Json, wanted: Json, patch: Json) -> None:
    live = {"metadata": {"annotations": {LAST_APPLIED: json.dumps(before)}}}
    assert merge_patch(wanted, live=live) == patch


@pytest.mark.parametrize("broken", ["{", "[]", "null"])
def test_an_annotation_that_cannot_be_read_deletes_nothing(broken: str) -> None:
    assert merge_patch({"a": 1}, live={"metadata": {"annotations": {LAST_APPLIED: broken}}}) == {"a": 1}
