"""Both ends of a live migration: who tells what, and everything that goes wrong on the way."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from tests.unit.node.build import DEFAULT_ENTRY, domain, entry, interface, nic, node, pod, row, vmi
from tests.unit.node.migrating import (
    BLUE,
    JOB,
    PREPARED,
    RED,
    REPORTED,
    ROWS,
    STARTED,
    guest,
    launcher,
    migrating,
    migration,
    phase,
    state,
)
from tests.unit.node.world import NODE, POD, VMI, World

from nicplug_sandbox.node.api import Json
from nicplug_sandbox.node.guests import Guests, serve_guests
from nicplug_sandbox.node.migration import COPY, step_seconds
from nicplug_sandbox.node.migration_reports import repeated_patch

LONG = 60.0
BOTH = ["default", "blue"]


def change(w: World, **members: Any) -> None:
    """Somebody else writes members of the migration's state."""
    machine = w.vmi()
    w.put(VMI, {**machine, "status": {**machine["status"], "migrationState": {**state(w), **members}}})


async def completed(w: World) -> Json:
    await w.until(lambda: state(w).get("completed"))
    return state(w)


async def until_guest(w: World, pod_name: str, nics: list[str]) -> None:
    """Wait until the guest runs in a pod, with these NICs; a simulator that has just started has to look first."""
    await w.until(lambda: "default/vm" in w.roles.guests.told() and guest(w) == (pod_name, nics))


async def test_each_end_tells_its_own_part_in_order() -> None:
    required = [{"type": "MigrationRequired", "status": "True"}, {"type": "LiveMigratable", "status": "True"}]
    machine = migrating(conditions=required, evacuationNodeName="node01", launcherContainerImageVersion="old")
    async with migration(machine) as w:
        told = await completed(w)
        paths = [
            [item["path"].removeprefix("/status/") for item in body if item["op"] != "test"]
            for body in w.api.writes("virtualmachineinstances")
        ]
        assert [sorted(found) for found in paths] == [
            ["migrationState"],  # the target is prepared
            ["migrationState"],  # the source starts
            ["conditions", "migrationState"],  # the guest runs at the target
            ["/metadata/labels/kubevirt.io~1nodeName"],
            ["evacuationNodeName", "interfaces", "launcherContainerImageVersion", "migrationState", "nodeName"],
            ["migrationState"],  # completed
        ]
        assert told.keys() >= {"targetNodeAddress", "startTimestamp", "endTimestamp", "targetNodeDomainReadyTimestamp"}
        assert "failed" not in told
        status = w.vmi()["status"]
        assert status["nodeName"] == w.vmi()["metadata"]["labels"]["kubevirt.io/nodeName"] == "node02"
        assert [item["type"] for item in status["conditions"]] == ["LiveMigratable"]
        assert status.keys().isdisjoint({"evacuationNodeName", "launcherContainerImageVersion"})
        assert guest(w) == ("target", BOTH)
        await w.until(lambda: phase(w, "source") == "Succeeded")
        assert phase(w, "target") == "Running"
        await w.until(lambda: "Migrated" in w.api.reasons())


@pytest.mark.parametrize(
    "machine",
    [
        pytest.param(migrating(), id="handed off"),
        pytest.param(migrating(state=PREPARED), id="prepared"),
        pytest.param(migrating(state=STARTED), id="in the copy"),
        pytest.param(migrating(state=REPORTED), id="reported"),
        pytest.param(migrating(state=REPORTED, label="node02"), id="label moved"),
        pytest.param(
            migrating(state={**REPORTED, "endTimestamp": "x"}, label="node02", nodeName="node02"), id="to be completed"
        ),
    ],
)
async def test_a_simulator_that_was_killed_goes_on(machine: Json) -> None:
    async with migration(machine) as w:
        told = await completed(w)
        assert "failed" not in told
        await w.until(lambda: phase(w, "source") == "Succeeded")
        assert w.vmi()["metadata"]["labels"]["kubevirt.io/nodeName"] == "node02"
        await until_guest(w, "target", BOTH)


@pytest.mark.parametrize("where", ["node", "vmi"])
@pytest.mark.parametrize(
    ("role", "how", "reason"),
    [
        pytest.param("migration-target", "prepare", "failed to prepare the target pod", id="target not prepared"),
        pytest.param("migration-source", "copy", "Broken pipe", id="copy breaks"),
        pytest.param("migration-target", "crash", "Broken pipe", id="target dies during the copy"),
        pytest.param("migration-target", "load", "load of migration failed", id="cut-over fails"),
    ],
)
async def test_a_migration_that_fails_leaves_the_guest_where_it_was(
    role: str, how: str, reason: str, where: str
) -> None:
    fault = {role.replace("-", "_"): f"broken={how}"}
    on = "node01" if role == "migration-source" else "node02"
    annotations = {f"sandbox.nicplug.io/{role}": f"broken={how}"} if where == "vmi" else {}
    async with migration(migrating(annotations=annotations), faults={on: fault} if where == "node" else {}) as w:
        told = await completed(w)
        assert told["failed"]
        assert reason in told["failureReason"]
        assert "endTimestamp" in told
        await w.until(lambda: phase(w, "target") in ("Succeeded", "Failed"))
        await until_guest(w, "source", BOTH)
        assert phase(w, "source") == w.vmi()["status"]["phase"] == "Running"
        assert w.vmi()["status"]["nodeName"] == "node01"
        assert w.vmi()["status"]["interfaces"] == ROWS


async def test_what_a_vmi_is_told_to_suffer_wins_over_its_node() -> None:
    machine = migrating(annotations={"sandbox.nicplug.io/migration-target": "present"})
    async with migration(machine, faults={"node02": {"migration_target": "absent"}}) as w:
        assert "failed" not in await completed(w)


@pytest.mark.parametrize(
    ("machine", "faults", "told"),
    [
        pytest.param(migrating(), {"node02": {"migration_target": "absent"}}, set(), id="target never answers"),
        pytest.param(migrating(), {"node02": {"virt_handler": "absent"}}, set(), id="no virt-handler at the target"),
        pytest.param(migrating(), {"node01": {"migration_source": "absent"}}, set(PREPARED), id="source never starts"),
        pytest.param(
            migrating(),
            {"node02": {"migration_target": "broken=silent"}},
            set(STARTED),
            id="nobody tells of the arrival",
        ),
    ],
)
async def test_a_silent_end_holds_the_migration_until_it_speaks(
    machine: Json, faults: dict[str, dict[str, str]], told: set[str]
) -> None:
    async with migration(machine, faults=faults) as w:
        await w.until(lambda: state(w).keys() >= told)
        await w.settle()
        assert state(w).keys() - machine["status"]["migrationState"].keys() == told
        for name in ("node01", "node02"):
            w.put(NODE, node(name))
        assert "failed" not in await completed(w)


@pytest.mark.parametrize(
    ("machine", "faults", "expected"),
    [
        pytest.param(migrating(), {"node02": {"migration_target": "absent"}}, "Succeeded", id="before the preparation"),
        pytest.param(migrating(state=PREPARED), {}, "Succeeded", id="during the copy"),
        pytest.param(migrating(), {"node01": {"migration_source": "broken=abort"}}, "Failed", id="the abort fails"),
    ],
)
async def test_abort(machine: Json, faults: dict[str, dict[str, str]], expected: str) -> None:
    async with migration(machine, faults=faults, copy_seconds=0.3) as w:
        if "node02" not in faults:
            await w.until(lambda: state(w).get("startTimestamp"))
        change(w, abortRequested=True)
        told = await completed(w)
        assert told["abortStatus"] == expected
        assert ("canceled" in told.get("failureReason", "")) == (expected == "Succeeded")
        await until_guest(w, "source" if told.get("failed") else "target", BOTH)


async def test_an_abort_after_the_cut_over_is_too_late() -> None:
    async with migration(migrating(state={**REPORTED, "abortRequested": True})) as w:
        told = await completed(w)
        assert told.keys().isdisjoint({"failed", "abortStatus"})


async def test_a_target_pod_that_is_deleted_during_the_copy() -> None:
    async with migration(copy_seconds=LONG) as w:
        await w.until(lambda: state(w).get("startTimestamp"))
        w.api.remove(POD, w.pod("target"))
        told = await completed(w)
        assert told["failed"]
        assert "Broken pipe" in told["failureReason"]
        await until_guest(w, "source", BOTH)


async def test_a_target_pod_that_is_deleted_after_the_guest_has_come_takes_it_along() -> None:
    async with migration(faults={"node02": {"migration_target": "broken=silent"}}) as w:
        await w.until(lambda: w.roles.guests.has_arrived(w.vmi()))
        w.api.remove(POD, w.pod("target"))
        await w.until(lambda: w.vmi()["status"]["phase"] == "Succeeded")
        assert w.roles.guests.told() == {}


@pytest.mark.parametrize("restarted", [False, True], ids=["same process", "after a restart"])
async def test_the_pod_of_a_failed_migration_is_not_taken_for_the_guests(restarted: bool) -> None:
    """Both were made in the same second, on the node to which the next migration goes."""
    before = launcher("before", on="node02")
    before["status"]["phase"] = "Succeeded"
    machine = migrating(state=REPORTED if restarted else {}, label="node02" if restarted else "node01")
    async with migration(machine, pods=[before]) as w:
        await completed(w)
        await until_guest(w, "target", BOTH)
        await w.settle()
        assert w.vmi()["status"]["phase"] == "Running"


async def test_a_source_that_dies_takes_the_guest_along() -> None:
    async with migration(faults={"node01": {"migration_source": "broken=crash"}}) as w:
        await w.until(lambda: w.vmi()["status"]["phase"] == "Failed")
        assert phase(w, "source") == "Failed"
        await w.until(lambda: phase(w, "target") == "Succeeded")


@pytest.mark.parametrize("how", ["pod killed", "node gone"])
async def test_a_source_that_vanishes_tells_nothing(how: str) -> None:
    async with migration(copy_seconds=LONG) as w:
        await w.until(lambda: state(w).get("startTimestamp"))
        if how == "pod killed":
            w.api.remove(POD, w.pod("source"))
            await w.until(lambda: w.vmi()["status"]["phase"] == "Succeeded")
            await w.until(lambda: phase(w, "target") == "Succeeded")
        else:
            w.api.remove(NODE, w.api.read(NODE, "node01", ""))
            await w.settle()  # the roles watch nodes and VMIs apart: let them see this first
            change(w, abortRequested=True)
            await w.settle()
            assert w.vmi()["status"]["phase"] == "Running"
        assert state(w).keys().isdisjoint({"completed", "failed"})


async def test_a_vmi_that_is_deleted_during_the_copy_ends() -> None:
    async with migration(copy_seconds=LONG) as w:
        await w.until(lambda: state(w).get("startTimestamp"))
        machine = w.vmi()
        w.put(VMI, {**machine, "metadata": {**machine["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"}})
        await w.until(lambda: w.vmi()["status"]["phase"] == "Succeeded")
        await w.until(lambda: phase(w, "target") == "Succeeded")


async def test_a_migration_that_the_controller_gives_up_ends_at_both_ends() -> None:
    async with migration(copy_seconds=LONG) as w:
        await w.until(lambda: state(w).get("startTimestamp"))
        change(w, failed=True, completed=True, failureReason="Target pod is down")
        await w.until(lambda: phase(w, "target") == "Succeeded")
        await until_guest(w, "source", BOTH)
        assert phase(w, "source") == "Running"


def added(w: World) -> list[list[str]]:
    """The paths that each write has set."""
    writes = w.api.writes("virtualmachineinstances")
    return [[item["path"] for item in body if item["op"] == "add"] for body in writes]


async def test_a_report_comes_again_with_the_time_of_then() -> None:
    async with migration(faults={"node01": {"migration_source": "doubled=100ms"}}) as w:
        await completed(w)
        again = [f"/status/migrationState/{member}" for member in ("startTimestamp", "mode")]
        await w.until(lambda: again in added(w))
        assert state(w)["completed"]


def test_an_old_report_never_reaches_another_migration() -> None:
    patch = repeated_patch(migrating(), {"failed": True, "endTimestamp": "then"}, now="now")
    assert {"op": "test", "path": "/status/migrationState/migrationUid", "value": JOB} in patch
    assert [(item["path"], item["value"]) for item in patch if item["op"] == "add"] == [
        ("/status/migrationState/failed", True),
        ("/status/migrationState/endTimestamp", "now"),
    ]


@pytest.mark.parametrize(
    ("step", "held_at"),
    [
        pytest.param("migration-prepare", set(), id="preparation"),
        pytest.param("migration-copy", set(STARTED), id="copy"),
        pytest.param("migration-cut-over", set(STARTED), id="cut-over"),
    ],
)
async def test_each_step_takes_as_long_as_the_vmi_says(step: str, held_at: set[str]) -> None:
    machine = migrating(annotations={f"sandbox.nicplug.io/{step}": "400ms"})
    async with migration(machine) as w:
        await w.until(lambda: state(w).keys() >= held_at)
        await w.settle()
        assert state(w).keys() - machine["status"]["migrationState"].keys() == held_at
        assert "failed" not in await completed(w)


def test_a_duration_that_is_not_understood_has_no_effect() -> None:
    assert step_seconds(vmi(annotations={COPY: "soon"}), COPY, default=0.3) == 0.3


async def test_a_nic_that_the_target_pod_lacks_cannot_be_loaded() -> None:
    target = launcher("target", DEFAULT_ENTRY, on="node02")
    async with migration(target=target) as w:
        told = await completed(w)
        assert told["failed"]
        assert f'the target pod has no interface "{BLUE}" for NIC "blue"' in told["failureReason"]


async def test_a_new_nic_of_the_target_pod_is_plugged_after_the_migration() -> None:
    machine = migrating(interface("blue"), interface("red"))
    target = launcher("target", entry("blue", BLUE), entry("red", RED), on="node02")
    async with migration(machine, target=target) as w:
        await completed(w)
        assert guest(w) == ("target", BOTH), "the guest that comes is exactly the source's"
        rows = [*w.vmi()["status"]["interfaces"], row("red", "multus-status", podInterfaceName=RED)]
        w.put(VMI, {**w.vmi(), "status": {**w.vmi()["status"], "interfaces": rows}})
        await w.until(lambda: guest(w) == ("target", [*BOTH, "red"]))


async def test_a_nic_that_is_asked_for_during_the_copy_waits_for_its_end() -> None:
    machine = migrating(interface("blue"), interface("red"))
    pods = [launcher(name, entry("blue", BLUE), entry("red", RED), on=on) for name, on in
            (("source", "node01"), ("target", "node02"))]  # fmt: skip
    async with migration(machine, source=pods[0], target=pods[1], copy_seconds=0.3) as w:
        await w.until(lambda: state(w).get("startTimestamp"))
        rows = [*ROWS, row("red", "multus-status", podInterfaceName=RED)]
        w.put(VMI, {**w.vmi(), "status": {**w.vmi()["status"], "interfaces": rows}})
        await w.settle()
        assert w.vmi()["status"]["interfaces"] == rows
        await completed(w)
        await w.until(lambda: guest(w) == ("target", [*BOTH, "red"]))


async def test_a_pod_with_the_right_labels_but_another_owner_is_no_target() -> None:
    forged = launcher("target", on="node02", ownerReferences=[{"uid": "else", "kind": "VirtualMachineInstance"}])
    async with migration(target=forged) as w:
        await w.settle()
        assert "targetNodeAddress" not in state(w)


async def test_a_pod_whose_uid_the_vmi_does_not_name_is_no_target() -> None:
    """Right name, labels and owner: virt-handler looks for the launcher by uid."""
    machine = migrating()
    machine["status"]["activePods"] = {"source": "node01", "of the target that was replaced": "node02"}
    async with migration(machine) as w:
        await w.settle()
        assert "targetNodeAddress" not in state(w)


async def test_a_pod_of_another_migration_is_no_target() -> None:
    machine = migrating(state={"migrationUid": "another"})
    async with migration(machine) as w:
        await w.settle()
        assert "targetNodeAddress" not in state(w)


async def test_the_guests_are_told_over_a_socket(tmp_path: Path) -> None:
    guests, path = Guests(), tmp_path / "guests"
    machine = vmi(interface("blue", state="down"))
    guests.put(machine, domain(nic("blue", BLUE)), pod=pod("launcher"))
    async with serve_guests(guests, path):
        reader, writer = await asyncio.open_unix_connection(path)
        found = json.loads(await reader.read())
        writer.close()
    assert found["default/vm"]["node"] == "node01"
    assert found["default/vm"]["pod"] == "launcher"
    assert found["default/vm"]["nics"][1] == {
        "name": "blue", "mac": "02:00:00:00:00:02", "podInterface": BLUE, "link": "down",
    }  # fmt: skip
