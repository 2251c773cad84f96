"""virt-handler: from Scheduled to Running, NICs, and the end."""

from http import HTTPStatus

import pytest
from tests.unit.node.build import DEFAULT_ENTRY, entry, interface, node, pod, row, vmi
from tests.unit.node.memory_api import refusal
from tests.unit.node.world import NODE, POD, VMI, World, world

from nicplug_sandbox.node.api import Json
from nicplug_sandbox.node.migration import is_compute_running
from nicplug_sandbox.node.vmi_writes import guarded_patch, merged_conditions

BLUE = "pod16477688c0e"
ONLY = ("virt_handler",)
RUNS = {"containerStatuses": [{"name": "compute", "state": {"running": {}}}]}
OWNED = {"labels": {"kubevirt.io/created-by": "vm-uid"}, "ownerReferences": [{"uid": "vm-uid"}]}
GO_AHEAD = [row("default", "domain", podInterfaceName="eth0"), row("blue", "multus-status", podInterfaceName=BLUE)]


def launcher(*entries: Json, **more: object) -> Json:
    return pod(entries=[DEFAULT_ENTRY, *entries], status=RUNS, **OWNED, **more)  # type: ignore[arg-type]


def source(w: World, name: str) -> str:
    return next((item["infoSource"] for item in w.vmi()["status"]["interfaces"] if item.get("name") == name), "none")


def change(w: World, **status: object) -> None:
    machine = w.vmi()
    w.put(VMI, {**machine, "status": {**machine["status"], **status}})


def test_a_patch_tests_what_it_changes_and_nothing_else() -> None:
    machine = vmi(rows=[row("default", "")])
    patch = guarded_patch(machine, {"phase": "Running", "conditions": [1], "interfaces": []})
    assert [(item["op"], item["path"], item["value"]) for item in patch] == [
        ("test", "/metadata/uid", "vm-uid"),
        ("test", "/status/conditions", None),
        ("add", "/status/conditions", [1]),
        ("test", "/status/interfaces", [row("default", "")]),
        ("add", "/status/interfaces", []),
    ]
    assert guarded_patch(machine, {"phase": "Running"}) == []


def test_conditions_are_replaced_only_when_status_or_reason_differ() -> None:
    present = [
        {"type": "A", "status": "True", "lastTransitionTime": "old"},
        {"type": "B", "status": "True"},
        {"type": "C", "status": "True"},
    ]
    wanted = [{"type": "A", "status": "True"}, {"type": "B", "status": "False", "reason": "Why"}]
    assert merged_conditions(present, wanted, gone=("C",), now="new") == [
        {"type": "A", "status": "True", "lastTransitionTime": "old"},
        {"type": "B", "status": "False", "reason": "Why", "lastProbeTime": None, "lastTransitionTime": "new"},
    ]


def test_the_guest_needs_a_running_compute_container() -> None:
    assert is_compute_running(launcher())
    assert not is_compute_running(launcher(phase="Pending"))
    assert not is_compute_running(launcher(deletionTimestamp="x"))


async def test_scheduled_becomes_running_in_one_write() -> None:
    machine = vmi(interface("blue"), rows=[row("default", ""), GO_AHEAD[1]], phase="Scheduled")
    async with world((POD, launcher(entry("blue", BLUE))), (VMI, machine), play=ONLY) as w:
        await w.until(lambda: w.vmi()["status"]["phase"] == "Running")
        await w.settle()
        assert len(w.api.writes("virtualmachineinstances")) == 1
        assert source(w, "default") == "domain"
        assert source(w, "blue") == "domain, multus-status"
        status = w.vmi()["status"]
        assert [item["phase"] for item in status["phaseTransitionTimestamps"]] == ["Running"]
        assert [(item["type"], item["status"]) for item in status["conditions"]] == [("LiveMigratable", "True")]


@pytest.mark.parametrize(
    ("machine", "pods"),
    [
        (vmi(phase="Scheduling"), [launcher()]),
        (vmi(phase="Scheduled"), []),
        (vmi(phase="Scheduled"), [launcher(phase="Pending")]),
    ],
    ids=["not handed over yet", "no pod", "pod not running"],
)
async def test_nothing_happens_too_early(machine: Json, pods: list[Json]) -> None:
    async with world(*((POD, item) for item in pods), (VMI, machine), play=ONLY) as w:
        await w.settle()
        assert w.api.requests == []


async def test_plug_and_unplug() -> None:
    machine = vmi(interface("blue"), rows=[row("default", "domain", podInterfaceName="eth0")])
    async with world((POD, launcher(entry("blue", BLUE))), (VMI, machine), play=ONLY) as w:
        await w.until(lambda: w.api.writes("virtualmachineinstances"))
        assert source(w, "blue") == "none"
        change(w, interfaces=[*w.vmi()["status"]["interfaces"], GO_AHEAD[1]])
        await w.until(lambda: source(w, "blue") == "domain, multus-status")
        blue = w.vmi()["status"]["interfaces"][1]
        assert blue["podInterfaceName"] == BLUE
        assert blue["mac"] == "02:00:00:00:00:02"

        machine = w.vmi()
        machine["spec"]["domain"]["devices"]["interfaces"][1]["state"] = "absent"
        w.put(VMI, machine)
        await w.until(lambda: source(w, "blue") == "multus-status")
        rows = [
            item if item["name"] != "blue" else {**item, "infoSource": ""} for item in w.vmi()["status"]["interfaces"]
        ]
        change(w, interfaces=rows)
        await w.until(lambda: source(w, "blue") == "none")


async def test_a_settled_machine_costs_no_write() -> None:
    async with world(
        (POD, launcher(entry("blue", BLUE))), (VMI, vmi(interface("blue"), rows=GO_AHEAD)), play=ONLY
    ) as w:
        await w.until(lambda: source(w, "blue") == "domain, multus-status")
        before = len(w.api.requests)
        w.put(VMI, {**w.vmi(), "spec": {**w.vmi()["spec"], "hostname": "touched"}})
        w.put(POD, w.pod())
        await w.settle()
        assert len(w.api.requests) == before


async def test_a_missing_link_is_told_by_an_event_and_plugged_once_it_is_there() -> None:
    async with world((POD, launcher()), (VMI, vmi(interface("blue"), rows=GO_AHEAD)), play=ONLY) as w:
        await w.until(lambda: "NicHotplug" in w.api.reasons())
        assert source(w, "blue") == "multus-status"
        w.put(POD, launcher(entry("blue", BLUE)))
        await w.until(lambda: source(w, "blue") == "domain, multus-status")


async def test_a_lost_race_with_the_controller_is_repeated_on_fresh_data() -> None:
    machine = vmi(rows=[row("default", "")], phase="Scheduled")
    async with world((POD, launcher()), play=ONLY) as w:
        w.api.failures = [refusal(HTTPStatus.UNPROCESSABLE_ENTITY), refusal(HTTPStatus.CONFLICT)]
        w.put(VMI, machine)
        await w.until(lambda: w.vmi()["status"]["phase"] == "Running")
        assert len(w.api.writes("virtualmachineinstances")) == 3


async def test_a_guest_that_is_started_paused_was_said_to_run() -> None:
    machine = vmi(rows=[row("default", "")], phase="Scheduled")
    machine["spec"]["startStrategy"] = "Paused"
    async with world((POD, launcher()), (VMI, machine), play=ONLY) as w:
        await w.until(lambda: w.vmi()["status"]["phase"] == "Running")
        await w.settle()
        [paused] = [item for item in w.vmi()["status"]["conditions"] if item["type"] == "Paused"]
        assert (paused["status"], paused["reason"]) == ("True", "PausedByUser")
        assert len(w.api.writes("virtualmachineinstances")) == 1


async def test_a_guest_agent_comes_and_goes() -> None:
    notes = {"sandbox.nicplug.io/guest-agent": "connected", "sandbox.nicplug.io/guest-interfaces": "docker0, cni0"}
    async with world((POD, launcher()), (VMI, vmi(rows=[GO_AHEAD[0]], annotations=notes)), play=ONLY) as w:
        await w.until(lambda: source(w, "default") == "domain, guest-agent")
        assert [item.get("interfaceName") for item in w.vmi()["status"]["interfaces"]] == ["eth0", "docker0", "cni0"]
        assert "AgentConnected" in {item["type"] for item in w.vmi()["status"]["conditions"]}
        w.put(VMI, {**w.vmi(), "metadata": {**w.vmi()["metadata"], "annotations": {}}})
        await w.until(lambda: source(w, "default") == "domain")
        assert "AgentConnected" not in {item["type"] for item in w.vmi()["status"]["conditions"]}


@pytest.mark.parametrize(
    ("pods", "machine", "phase"),
    [
        ([launcher()], {"deletionTimestamp": "x"}, "Succeeded"),
        ([launcher(deletionTimestamp="x")], {}, "Succeeded"),
        ([launcher(phase="Failed")], {}, "Failed"),
        ([launcher(phase="Succeeded")], {}, "Succeeded"),
        ([], {}, "Succeeded"),
    ],
    ids=["VMI deleted", "pod deleted", "pod crashed", "guest shut down", "pod gone"],
)
async def test_the_end(pods: list[Json], machine: Json, phase: str) -> None:
    dying = vmi(rows=[])
    dying["metadata"] |= {**machine, "finalizers": ["kubevirt.io/foregroundDeleteVirtualMachine"]}
    async with world(*((POD, item) for item in pods), (VMI, dying), play=ONLY) as w:
        await w.until(lambda: w.vmi()["status"]["phase"] == phase)
        await w.settle()
        assert len(w.api.writes("virtualmachineinstances")) == 1
        assert w.vmi()["metadata"]["finalizers"] == ["kubevirt.io/foregroundDeleteVirtualMachine"]


async def test_a_restart_does_not_plug_again() -> None:
    rows = [row("default", "domain", podInterfaceName="eth0", mac="02:00:00:00:00:01", queueCount=1, linkState="up")]
    rows.append(
        row(
            "blue",
            "domain, multus-status",
            podInterfaceName=BLUE,
            mac="02:00:00:00:00:99",
            queueCount=1,
            linkState="up",
        )
    )
    condition = {"type": "LiveMigratable", "status": "True"}
    machine = vmi(interface("blue"), rows=rows, conditions=[condition])
    async with world((POD, launcher(entry("blue", BLUE))), (VMI, machine), play=ONLY) as w:
        await w.settle()
        assert w.api.requests == []


async def test_absent() -> None:
    async with world(
        (NODE, node(virt_handler="absent")), (POD, launcher()), (VMI, vmi(rows=[], phase="Scheduled")), play=ONLY
    ) as w:
        await w.settle()
        assert w.vmi()["status"]["phase"] == "Scheduled"
        w.put(NODE, node())
        await w.until(lambda: w.vmi()["status"]["phase"] == "Running")


async def test_slow() -> None:
    async with world(
        (NODE, node(virt_handler="slow=200ms")), (POD, launcher()), (VMI, vmi(rows=[], phase="Scheduled")), play=ONLY
    ) as w:
        await w.settle()
        assert w.vmi()["status"]["phase"] == "Scheduled"
        await w.until(lambda: w.vmi()["status"]["phase"] == "Running")


async def test_a_guest_that_refuses_nics() -> None:
    async with world(
        (NODE, node(virt_handler="broken")),
        (POD, launcher(entry("blue", BLUE))),
        (VMI, vmi(interface("blue"), rows=GO_AHEAD)),
        play=ONLY,
    ) as w:
        await w.until(lambda: "NicHotplug" in w.api.reasons())
        assert source(w, "blue") == "multus-status"
        w.put(NODE, node())
        await w.until(lambda: source(w, "blue") == "domain, multus-status")


async def test_a_guest_that_never_lets_go() -> None:
    machine = vmi(
        interface("blue", state="absent"), rows=[GO_AHEAD[0], {**GO_AHEAD[1], "infoSource": "domain, multus-status"}]
    )
    async with world(
        (NODE, node(virt_handler="broken=unplug")), (POD, launcher(entry("blue", BLUE))), (VMI, machine), play=ONLY
    ) as w:
        await w.settle()
        assert source(w, "blue") == "domain, multus-status"
        w.put(NODE, node())
        await w.until(lambda: source(w, "blue") == "multus-status")


async def test_plug_seconds_pass_before_the_status_tells() -> None:
    async with world(
        (POD, launcher(entry("blue", BLUE))), (VMI, vmi(interface("blue"), rows=GO_AHEAD)), play=ONLY, plug_seconds=0.3
    ) as w:
        await w.settle()
        assert source(w, "blue") == "multus-status"
        await w.until(lambda: source(w, "blue") == "domain, multus-status")


async def test_a_pod_with_the_labels_of_a_launcher_and_another_owner_is_not_the_launcher() -> None:
    forged = {**launcher(entry("blue", BLUE)), "spec": {"nodeName": "node01", "containers": []}}
    forged["metadata"] = {**forged["metadata"], "name": "forged", "uid": "f", "ownerReferences": []}
    forged["metadata"]["creationTimestamp"] = "2027-01-01T00:00:00Z"
    machine = vmi(interface("blue"), rows=GO_AHEAD)
    async with world((POD, launcher(entry("blue", BLUE))), (POD, forged), (VMI, machine), play=ONLY) as w:
        await w.until(lambda: source(w, "blue") == "domain, multus-status")
