"""A guest that is to leave its node: when a migration is made for it, and what is said while none can be."""

from typing import Any

import pytest
from tests.build import NODE, NOW, TARGET_NODE, VMI_UID, Json, migration, node, pod, vmi, vmi_view

from nicplug.model.frozen_json import thaw
from nicplug.model.node import parse_node
from nicplug.plan.actions import Create, Kind, PatchStatus
from nicplug.plan.outcome import Plan
from nicplug.plan.vmi.plan_vmi import plan_vmi

MIGRATABLE = {"type": "LiveMigratable", "status": "True"}
NODES = (node(NODE, unschedulable=True), node(TARGET_NODE))
NOWHERE = (node(NODE, unschedulable=True), node(TARGET_NODE, unschedulable=True))


def guest(strategy: str = "LiveMigrate", *conditions: Json, leaves: str = NODE) -> Json:
    raw = vmi(conditions=list(conditions or (MIGRATABLE,)))
    raw["spec"]["evictionStrategy"] = strategy
    raw["status"]["evacuationNodeName"] = leaves
    return raw


def plan(raw: Json, *pods: Json, nodes: tuple[Json, ...] = NODES, **more: Any) -> Plan:
    view = vmi_view(raw, *(pods or (pod(),)), nodes=tuple(map(parse_node, nodes)), **more)
    return plan_vmi(view, now=NOW)


def made(of: Plan) -> list[Json]:
    return [thaw(item.body) for item in of.actions if isinstance(item, Create) and item.kind is Kind.MIGRATION]


def reported(of: Plan) -> str:
    (patch,) = [item for item in of.actions if isinstance(item, PatchStatus)]
    rows = thaw(patch.wanted)["conditions"]
    return str(next((row["message"] for row in rows if row["type"] == "EvictionRequested"), ""))


def test_the_migration_that_is_made() -> None:
    of = plan(guest())
    (body,) = made(of)
    metadata = body["metadata"]
    assert metadata["name"].startswith("kubevirt-evacuation-")
    assert metadata["annotations"] == {"kubevirt.io/evacuationMigration": NODE}
    assert metadata["ownerReferences"][0]["uid"] == VMI_UID
    assert body["spec"]["priority"] == "system-critical"
    (event,) = [item for item in of.announcements if item.reason == "SuccessfulCreate"]
    assert event.message == f"Created Migration {metadata['name']}"


def test_two_leaders_make_the_same_one_and_the_next_has_another_name() -> None:
    first, again = made(plan(guest()))[0], made(plan(guest()))[0]
    assert first["metadata"]["name"] == again["metadata"]["name"]
    failed = migration(phase="Failed")
    failed["metadata"]["name"] = first["metadata"]["name"]
    (second,) = made(plan(guest(), migrations=(failed,)))
    assert second["metadata"]["name"] != first["metadata"]["name"]


@pytest.mark.parametrize(
    ("raw", "more"),
    [
        pytest.param(guest(leaves=""), {}, id="nobody has asked"),
        pytest.param(guest(leaves="node09"), {}, id="it has left that node"),
        pytest.param(guest("External"), {}, id="somebody else sees to it"),
        pytest.param(guest("None"), {}, id="its owner does not want it"),
        pytest.param(guest("LiveMigrate", {**MIGRATABLE, "status": "False"}), {}, id="it cannot be migrated"),
        pytest.param(guest(), {"migrations": (migration(phase="Pending"),)}, id="a migration waits"),
        pytest.param(guest(), {"nodes": NOWHERE}, id="no node can take it"),
    ],
)
def test_none_is_made(raw: Json, more: dict[str, Any]) -> None:
    assert made(plan(raw, **more)) == []


def test_with_nowhere_to_go_it_says_so_with_numbers_once() -> None:
    of = plan(guest(), nodes=NOWHERE)
    assert reported(of).startswith("VMI is marked for eviction: 0 of 2 nodes can take the VM")
    (event,) = [item for item in of.announcements if item.reason == "EvacuationBlocked"]
    assert "cannot leave node node01" in event.message
    assert "cordoned" in event.message
    same = guest("LiveMigrate", MIGRATABLE, {"type": "EvictionRequested", "status": "True", "message": reported(of)})
    same["status"]["conditions"][-1]["reason"] = "EvictionRequested"
    assert not [item for item in plan(same, nodes=NOWHERE).announcements if item.reason == "EvacuationBlocked"]


def test_it_says_by_which_migration_it_leaves() -> None:
    waiting = migration(phase="Pending")
    assert reported(plan(guest(), migrations=(waiting,))) == (
        f"VMI is marked for eviction: migration {waiting['metadata']['name']}"
    )


def test_the_mark_of_a_node_that_it_has_left_goes() -> None:
    """Or the next eviction, there or elsewhere, would find an evacuation in progress that nobody carries out."""
    of = plan(guest(leaves="node09"))
    (patch,) = [item for item in of.actions if isinstance(item, PatchStatus)]
    assert {"op": "remove", "path": "/status/evacuationNodeName"} in patch.json_patch()
