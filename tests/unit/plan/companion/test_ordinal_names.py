"""Beside KubeVirt, pods whose interfaces are called net1, net2: of before 1.0, and their target pods up to 1.8."""

import json
from typing import Any

import pytest
from tests.build import (
    NAME,
    NOW,
    TARGET_POD_UID,
    VM_UID,
    VMI_UID,
    Json,
    companion_view,
    element,
    interface_report,
    kubevirt,
    later,
    migration,
    nad,
    nic,
    operation,
    owner,
    pod,
    primary,
    primary_row,
    vm,
    vmi,
)

from nicplug.model.dynamic_controller import ControllerState, DynamicController
from nicplug.plan.actions import Create, Delete, Kind
from nicplug.plan.companion.plan_companion import CompanionDecision, decide_companion

RED, BLUE, FAST = nic("red"), nic("blue"), nic("blue", binding="sriov")
JOB = "own-1"
RED_ROW: Json = {"name": "red", "infoSource": "domain, multus-status", "podInterfaceName": "net1"}
ORDINAL = ({**element("red"), "interface": "net1"}, {**element("blue"), "interface": "net2"})
HASHED = (element("red"), element("blue"))


def decide(*pods: Json, blue: Any, **members: Any) -> CompanionDecision:
    """Of a VM whose guest has the NIC red, and is to get blue, on a node without a controller."""
    config = kubevirt()
    config["spec"]["workloadUpdateStrategy"] = {"workloadUpdateMethods": ["LiveMigrate"]}
    raw = vmi(
        primary(),
        RED,
        blue,
        rows=[primary_row(), RED_ROW],
        conditions=({"type": "LiveMigratable", "status": "True"},),
        owner_uid=VM_UID,
    )
    waits = operation("blue", path="Dynamic", phase="Pending", since=later(-100))
    view = companion_view(
        raw,
        *pods,
        **{
            "controller": DynamicController(state=ControllerState.NOT_DEPLOYED),
            "nads": [nad("red-net"), nad("blue-net")],
            "config": config,
            "spec_seen_at": later(-60),
            "pending_since": later(-60),
            "report": interface_report(vmUid=VM_UID, vmiUid=VMI_UID, interfaceOperations=[waits]),
            "vm": vm(primary(), RED, blue),
            **members,
        },
    )
    return decide_companion(view, now=NOW)


def target(*networks: Json) -> Json:
    """The target pod of nicplug's migration, which has not started."""
    labels = {"kubevirt.io": "virt-launcher", "kubevirt.io/created-by": VMI_UID, "kubevirt.io/migrationJobUID": JOB}
    found = pod(
        name="virt-launcher-target",
        uid=TARGET_POD_UID,
        node="node02",
        phase="Pending",
        ready=False,
        labels=labels,
        networks=list(networks),
    )
    found["metadata"]["annotations"].pop("k8s.v1.cni.cncf.io/network-status", None)
    return found


@pytest.mark.parametrize("phase", ["Scheduling", "Scheduled"])
@pytest.mark.parametrize(("networks", "is_kept"), [(ORDINAL, True), (HASHED, True), (ORDINAL[:1], False)])
def test_a_migration_is_kept_if_its_target_pod_has_the_nic_by_either_name(
    networks: tuple[Json, ...], is_kept: bool, phase: str
) -> None:
    """Such a migration was withdrawn, and the next one created, without end."""
    stamp = later(-2).strftime("%Y-%m-%dT%H:%M:%SZ")
    job = migration(
        phase,
        name="nicplug-0123456789",
        uid=JOB,
        annotations={"nicplug.io/interfaces": json.dumps({"blue": "x/"})},
        ownerReferences=[owner("VirtualMachineInstance", NAME, VMI_UID)],
        creationTimestamp=stamp,
        status={"phaseTransitionTimestamps": [{"phase": "Scheduling", "phaseTransitionTimestamp": stamp}]},
    )
    source = pod(networks=[ORDINAL[0]], attached=["net1"])
    found = decide(source, target(*networks), blue=FAST, migrations=(job,))
    assert [item for item in found.plan.actions if isinstance(item, Delete)] == [] or not is_kept
    assert is_kept or any(isinstance(item, Delete) for item in found.plan.actions)


def test_a_nic_that_virt_controller_asks_for_by_an_ordinal_name_is_asked_for() -> None:
    """It counted as one that virt-controller is silent about, and no migration was created."""
    found = decide(pod(networks=list(ORDINAL), attached=["net1"]), blue=BLUE)
    assert [item.kind for item in found.plan.actions if isinstance(item, Create)] == [Kind.MIGRATION]


def test_one_that_it_has_not_asked_for_waits_for_it() -> None:
    found = decide(pod(networks=[ORDINAL[0]], attached=["net1"]), blue=BLUE)
    assert [item for item in found.plan.actions if isinstance(item, Create)] == []
