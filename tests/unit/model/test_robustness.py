"""Whatever stands in an object, parsing and planning do not raise: a record that cannot be read is no reason to stop.

Trees are arbitrary JSON below the right member names, so that they reach deep into the parsers.
"""

import copy
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.build import (
    NOW,
    VM_UID,
    Json,
    a_config,
    a_pod,
    a_revision,
    a_vm,
    a_vmi,
    absent,
    kubevirt,
    nic,
    operation,
    pod,
    primary,
    primary_row,
    row,
    vm,
    vmi,
)

from nicplug.model.network_status import parse_network_status
from nicplug.model.networks_annotation import UnreadableAnnotation, parse_annotation, render_annotation
from nicplug.plan.views import PlanSettings, VmiView, VmView
from nicplug.plan.vm.plan_vm import plan_vm
from nicplug.plan.vmi.plan_vmi import plan_vmi

# Surrogates cannot come from an API server: Go replaces them.
TEXT = st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=12)
NUMBERS = st.integers(min_value=-(2**63), max_value=2**63 - 1)
WORDS = st.sampled_from(
    ["", "absent", "blue", "Running", "Always", "True", "Plug", "Ready", "domain", "eth0", "9999-12-31T23:59:59Z", "0"]
)
SCALARS = st.none() | st.booleans() | NUMBERS | WORDS | TEXT
MEMBERS = st.sampled_from(
    [
        "metadata",
        "spec",
        "status",
        "template",
        "domain",
        "devices",
        "interfaces",
        "networks",
        "name",
        "multus",
        "networkName",
        "bridge",
        "state",
        "macAddress",
        "pod",
        "default",
        "phase",
        "conditions",
        "type",
        "reason",
        "message",
        "interfaceOperations",
        "operation",
        "startTime",
        "lastTransitionTime",
        "attempts",
        "infoSource",
        "uid",
        "generation",
        "resourceVersion",
        "labels",
        "annotations",
        "ownerReferences",
        "controller",
        "apiVersion",
        "kind",
        "finalizers",
        "deletionTimestamp",
        "creationTimestamp",
        "nodeName",
        "containerStatuses",
        "containers",
        "state",
        "running",
        "runStrategy",
        "configuration",
        "developerConfiguration",
        "featureGates",
        "disabledFeatureGates",
        "network",
        "defaultNetworkInterface",
        "activePods",
        "launcherPods",
        "targetPod",
        "phaseTransitionTimestamps",
        "startFailure",
        "consecutiveFailCount",
        "retryAfterTimestamp",
    ]
)
TREES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(MEMBERS | TEXT, inner, max_size=6),
    max_leaves=40,
)
OBJECTS = st.dictionaries(MEMBERS, TREES, max_size=5)

_NICS = (primary(), nic("blue"), absent("red"))
_ROWS = [primary_row(), row("red", "domain")]
_RECORDS = [operation("blue")]
_CONDITIONS = [{"type": "Ready", "status": "True"}, {"type": "LiveMigratable", "status": "True"}]
_ORIGIN = {"nicplug.io/template-interfaces": '["blue","red"]'}
CONFIGS = (kubevirt(), kubevirt(hotplug={"removalPolicy": "Declarative"}))


def _grafted(draw: st.DrawFn, raw: Json) -> Json:
    """A good object with a few members replaced by anything."""
    raw = copy.deepcopy(raw)
    places = [parent for parent in _parents(raw) if parent]
    for _ in range(draw(st.integers(1, 4))):
        parent = places[draw(st.integers(0, len(places) - 1))]
        keys = sorted(parent) if isinstance(parent, dict) else list(range(len(parent)))
        parent[keys[draw(st.integers(0, len(keys) - 1))]] = draw(TREES)
    return raw


def _parents(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [value, *(found for item in value.values() for found in _parents(item))]
    if isinstance(value, list):
        return [value, *(found for item in value for found in _parents(item))]
    return []


@st.composite
def grafted_vms(draw: st.DrawFn) -> Json:
    return _grafted(draw, vm(*_NICS, status={"conditions": [{"type": "Ready", "status": "True"}], "startFailure": {}}))


@st.composite
def grafted_vmis(draw: st.DrawFn) -> Json:
    good = vmi(*_NICS, rows=_ROWS, operations=_RECORDS, conditions=_CONDITIONS, owner_uid=VM_UID, annotations=_ORIGIN)
    return _grafted(draw, good)


@st.composite
def grafted_pods(draw: st.DrawFn) -> Json:
    return _grafted(draw, pod(networks=[{"name": "x", "interface": "pod16477688c0e"}], attached=["blue"]))


@given(raw=OBJECTS)
def test_any_object_can_be_parsed(raw: Json) -> None:
    a_vm(raw), a_vmi(raw), a_pod(raw), a_config(raw)


@given(
    raw_vmi=OBJECTS | grafted_vmis(), raw_pod=OBJECTS | grafted_pods(), raw_vm=OBJECTS | grafted_vms(), config=OBJECTS
)
def test_any_vmi_can_be_planned(raw_vmi: Json, raw_pod: Json, raw_vm: Json, config: Json) -> None:
    view = VmiView(
        vmi=a_vmi(raw_vmi),
        pods=(a_pod(raw_pod),),
        vm=a_vm(raw_vm),
        config=a_config(config if len(config) % 2 else kubevirt()),
        settings=PlanSettings(),
        spec_seen_at=NOW,
    )
    plan = plan_vmi(view, now=NOW)
    for action in plan.actions:
        _ = action.json_patch() if hasattr(action, "json_patch") else action.key
    assert plan == plan_vmi(view, now=NOW)


@given(
    raw_vm=OBJECTS | grafted_vms(),
    raw_vmi=OBJECTS | grafted_vmis(),
    then=grafted_vms(),
    config=st.sampled_from(CONFIGS),
)
def test_any_vm_can_be_planned(raw_vm: Json, raw_vmi: Json, then: Json, config: Json) -> None:
    """Whatever it is now, and whatever it was when it was started."""
    view = VmView(
        vm=a_vm(raw_vm),
        vmi=a_vmi(raw_vmi),
        revision=a_revision({"data": {"spec": then.get("spec")}}),
        config=a_config(config),
        policy=a_config(config).hotplug,
        settings=PlanSettings(),
    )
    plan = plan_vm(view, now=NOW)
    for action in plan.actions:
        _ = action.json_patch() if hasattr(action, "json_patch") else action.key
    assert plan == plan_vm(view, now=NOW)


@given(content=st.text(max_size=60) | TREES.map(json.dumps))
def test_any_annotation_can_be_read_or_is_said_to_be_unreadable(content: str) -> None:
    parse_network_status(content)
    try:
        elements = parse_annotation(content)
    except UnreadableAnnotation:
        return
    assert parse_annotation(render_annotation(elements)) == elements
