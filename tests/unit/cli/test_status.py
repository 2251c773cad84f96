"""The table of NICs, its colours, and the moments."""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from tests.build import NOW, VM_UID, a_vm, a_vmi, absent, kubevirt, nic, operation, primary, row, vm, vmi
from tests.unit.cli.played import CommandLine, PlayedServer, collection, refusal

from nicplug.cli import output
from nicplug.cli.overview import first_reason
from nicplug.cli.status import moments
from nicplug.cli.wait import READY, _late
from nicplug.insight.nics import VmNics, describe

BASE = "GET /apis/kubevirt.io/v1/namespaces/default"
LEASE = "GET /apis/coordination.k8s.io/v1/namespaces/nicplug-system/leases/nicplug-operator"
NONE = refusal(404, "NotFound", 'leases.coordination.k8s.io "nicplug-operator" not found')
BLOCKED = operation("blue", phase="Blocked", path="None", reason="FeatureGateDisabled", message="hot-plug is off")
DONE = operation("blue", phase="Ready", reason="Attached", message="there")
RAW = vmi(
    primary(), nic("red"), nic("blue"), rows=[row("default", "domain"), row("red", "domain")], operations=[BLOCKED]
)


@pytest.fixture
def served(server: PlayedServer) -> PlayedServer:
    """A bare VMI with a NIC in the guest and one that is blocked, and no operator."""
    missing = refusal(404, "NotFound", 'virtualmachines.kubevirt.io "vmi-fedora" not found')
    definition = {
        "spec": {
            "versions": [
                {
                    "name": "v1",
                    "subresources": {"status": {}},
                    "schema": {
                        "openAPIV3Schema": {"properties": {"status": {"properties": {"interfaceOperations": {}}}}}
                    },
                }
            ]
        }
    }
    crd = "GET /apis/apiextensions.k8s.io/v1/customresourcedefinitions/virtualmachineinstances.kubevirt.io"
    server.answers |= {
        f"{BASE}/virtualmachines/vmi-fedora": missing,
        f"{BASE}/virtualmachineinstances/vmi-fedora": (200, RAW),
        f"{BASE}/virtualmachineinstancemigrations": collection(),
        crd: (200, definition),
        LEASE: NONE,
    }
    return server


def test_the_table(nicplug: CommandLine, served: PlayedServer) -> None:
    done = nicplug("status", "vmi-fedora")
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0] == "VirtualMachineInstance default/vmi-fedora: Running on node01"
    assert lines[1].split() == ["NIC", "NETWORK", "BINDING", "PATH", "PHASE", "SINCE", "SLOT", "REASON"]
    assert lines[2].split() == ["default", "pod", "masquerade", "-", "Ready", "-", "used", "at", "start"]
    assert lines[3].split()[:5] == ["red", "red-net", "bridge", "-", "Ready"]
    assert lines[4].split()[:5] == ["blue", "blue-net", "bridge", "-", "Blocked"]
    assert lines[4].endswith("FeatureGateDisabled")
    assert "blue       hot-plug is off" in done.stdout
    assert max(map(len, lines[:5])) <= 100
    assert [line for line in lines if line != line.rstrip()] == []


def test_what_to_do_and_when_it_is_tried_again_have_lines_of_their_own(
    nicplug: CommandLine, served: PlayedServer
) -> None:
    soon = (datetime.now(UTC) + timedelta(seconds=90)).isoformat()
    failed = operation("blue", phase="Failed", reason="AttachFailed", message="no such device", nextAttemptTime=soon)
    raw = vmi(primary(), nic("blue"), operations=[{**failed, "remedy": "Correct the network"}])
    served.answers[f"{BASE}/virtualmachineinstances/vmi-fedora"] = (200, raw)
    facts = [
        line
        for line in nicplug("status", "vmi-fedora").stdout.splitlines()
        if "no such device" in line or (line.startswith(" " * 11))
    ]
    assert facts[:2] == ["blue       no such device", "           To do: Correct the network"]
    assert re.fullmatch(r" {11}Next attempt: in (8\d|90)s", facts[2])
    told = json.loads(nicplug("status", "vmi-fedora", "-o", "json").stdout)["nics"][1]
    assert (told["remedy"], told["nextAttempt"]) == ("Correct the network", soon)


@pytest.mark.parametrize(
    ("name", "facts"),
    [
        ("blue", ["blue       no such device", "           To do: Correct the network"]),
        ("new-fancy-nett", ["new-fancy-nett  no such device", "                To do: Correct the network"]),
        (
            "new-fancy-net-of-tenants",
            ["new-fancy-net-of-tenants", "           no such device", "           To do: Correct the network"],
        ),
    ],
)
def test_a_long_name_ran_into_its_message(
    nicplug: CommandLine, served: PlayedServer, name: str, facts: list[str]
) -> None:
    failed = operation(name, phase="Failed", reason="AttachFailed", message="no such device")
    raw = vmi(primary(), nic(name), operations=[{**failed, "remedy": "Correct the network"}])
    served.answers[f"{BASE}/virtualmachineinstances/vmi-fedora"] = (200, raw)
    lines = nicplug("status", "vmi-fedora").stdout.splitlines()
    assert lines[lines.index(facts[0]) :][: len(facts)] == facts


@pytest.mark.parametrize("columns", [80, 60, 40])
def test_a_narrow_terminal_broke_the_command_that_was_to_be_copied(
    nicplug: CommandLine, served: PlayedServer, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    missing = operation("t1", phase="Blocked", path="None", reason="NetworkAttachmentDefinitionMissing", message="no")
    raw = vmi(primary(), nic("t1", attachment="new-fancy-nett"), operations=[missing])
    served.answers[f"{BASE}/virtualmachineinstances/vmi-fedora"] = (200, raw)
    piped = nicplug("status", "vmi-fedora").stdout.splitlines()
    monkeypatch.setattr(output, "is_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", str(columns))
    shown = nicplug("status", "vmi-fedora").stdout.splitlines()
    command = "(nicplug remove vmi-fedora t1 --namespace default)"
    [told] = [number for number, line in enumerate(shown) if command in line]
    first = next(number for number, line in enumerate(shown) if line.startswith(f"{'':<11}To do: Create it;"))
    end = next(number for number, line in enumerate(shown) if line.endswith("again")) + 1
    assert first < told < end
    remedy = shown[first:end]
    assert [line for line in remedy if not re.match(r" {11}\S", line)] == []
    assert [line for line in remedy if len(line) > columns and line.strip() != command] == []
    # A pipe gets the sentence on one line.
    assert " ".join(line.strip() for line in remedy) == next(line for line in piped if "To do: " in line).strip()


@pytest.mark.parametrize("is_in_template", [True, False])
def test_the_remedy_for_a_misspelt_network_was_a_field_that_nobody_had_typed(
    nicplug: CommandLine, served: PlayedServer, monkeypatch: pytest.MonkeyPatch, is_in_template: bool
) -> None:
    missing = operation("t1", phase="Blocked", path="None", reason="NetworkAttachmentDefinitionMissing", message="no")
    lost = nic("t1", attachment="new-fancy-nett")
    record = {**missing, "remedy": "Create it. Or correct multus.networkName"}
    served.answers |= {
        f"{BASE}/virtualmachines/vmi-fedora": (200, vm(primary(), *([lost] if is_in_template else []))),
        f"{BASE}/virtualmachineinstances/vmi-fedora": (200, vmi(primary(), lost, operations=[record])),
        "GET /apis/k8s.cni.cncf.io/v1/namespaces/default/network-attachment-definitions": collection(
            {"metadata": {"name": "new-fancy-net"}}, {"metadata": {"name": "lan"}}
        ),
    }
    persist = " --persist" if is_in_template else ""
    remedy = (
        "Create it; the NIC is then plugged automatically. "
        'If "new-fancy-nett" is the wrong name (did you mean new-fancy-net?), remove the NIC '
        f"(nicplug remove vmi-fedora t1{persist} --namespace default) and add it again"
    )
    assert f"           To do: {remedy}\n" in nicplug("status", "vmi-fedora").stdout
    told = json.loads(nicplug("status", "vmi-fedora", "-o", "json").stdout)
    assert told["nics"][1]["remedy"] == remedy
    away = refusal(503, "ServiceUnavailable", "no watches here")
    served.answers |= {f"{BASE}/{plural}": away for plural in ("virtualmachines", "virtualmachineinstances")}
    monkeypatch.setattr("nicplug.cli.wait.PATIENCE_SECONDS", 0.01)
    done = nicplug("wait", "vmi-fedora", "t1")
    assert (done.exit_code, remedy in done.stderr) == (9, True)


@pytest.fixture
def unseen(served: PlayedServer) -> PlayedServer:
    """A VM that is to run, which no operator has ever seen."""
    served.answers |= {
        f"{BASE}/virtualmachines/vm-fedora": (200, vm(primary(), nic("blue"), name="vm-fedora")),
        f"{BASE}/virtualmachineinstances/vm-fedora": refusal(404, "NotFound", "no VMI"),
        f"{BASE}/virtualmachines": collection(vm(primary(), nic("blue"), name="vm-fedora")),
        f"{BASE}/virtualmachineinstances": collection(),
    }
    return served


def test_a_vm_that_no_operator_had_seen_was_called_stopped(nicplug: CommandLine, unseen: PlayedServer) -> None:
    done = nicplug("status", "vm-fedora")
    assert "VirtualMachine default/vm-fedora: Pending\n" in done.stdout
    assert "blue       waiting for the operator to start the VM" in done.stdout
    assert "no operator has run in namespace nicplug-system" in done.stdout.splitlines()[-1]
    told = json.loads(nicplug("status", "vm-fedora", "-o", "json").stdout)
    assert (told["phase"], told["nics"][1]["reason"]) == ("Pending", None)
    assert "no nicplug operator works" in told["note"]


def test_the_overview_calls_it_pending_too(nicplug: CommandLine, unseen: PlayedServer) -> None:
    lines = nicplug("status").stdout.splitlines()
    assert lines[1].split() == ["vm-fedora", "Pending", "-", "0/2", "Requested"]
    assert lines[-1].startswith("note: nothing happens now, as no nicplug operator works")


@pytest.mark.parametrize(
    "raw",
    [
        vm(primary(), run_strategy="Halted"),
        vm(primary(), run_strategy="Manual"),
        vm(primary(), status={"printableStatus": "Stopped"}),
        vm(primary(), deleting=True),
    ],
    ids=["Halted", "Manual", "seen by an operator", "being deleted"],
)
def test_a_vm_that_is_not_to_run_or_was_seen_is_stopped(raw: dict[str, Any]) -> None:
    found = described(None, raw)
    assert (found.phase, found.nics[0].reason) == ("Stopped", "GuestNotRunning")


def test_a_status_that_stands_still_says_why(nicplug: CommandLine, served: PlayedServer) -> None:
    assert "no nicplug operator works" in nicplug("status", "vmi-fedora").stdout


def test_an_older_definition_drops_records(nicplug: CommandLine, served: PlayedServer) -> None:
    crd = "GET /apis/apiextensions.k8s.io/v1/customresourcedefinitions/virtualmachineinstances.kubevirt.io"
    versions = [{"name": "v1", "subresources": {"status": {}}, "schema": {}}]
    served.answers[crd] = (200, {"spec": {"names": {"kind": "VirtualMachineInstance"}, "versions": versions}})
    assert "or KubeVirt's, and drops the records of NICs" in nicplug("status", "vmi-fedora").stdout


def test_names_are_one_a_line(nicplug: CommandLine, served: PlayedServer) -> None:
    assert nicplug("status", "vmi-fedora", "-o", "name").stdout == "default\nred\nblue\n"


def test_colours_only_on_a_terminal_and_never_with_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    assert output.console().no_color
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    assert not output.console().no_color
    monkeypatch.setenv("NO_COLOR", "1")
    assert output.console().no_color


def described(raw: dict[str, object] | None, owner: dict[str, object] | None = None) -> VmNics:
    return describe(
        namespace="default",
        name="vmi-fedora",
        vm=a_vm(owner) if owner else None,
        vmi=a_vmi(raw) if raw else None,
        now=NOW,
    )


def test_moments_are_told_once() -> None:
    before = described(vmi(primary(), rows=[row("default", "domain")]))
    after = described(RAW)
    told = moments(before, after, now=NOW)
    assert [line.split("  ", 1)[1] for line in told] == [
        "red  Ready",
        "blue  Plug Blocked  FeatureGateDisabled: hot-plug is off",
    ]
    assert moments(after, after, now=NOW) == []
    assert [line.split("  ", 1)[1] for line in moments(after, before, now=NOW)] == ["red  gone", "blue  gone"]


def failed(message: str) -> dict[str, Any]:
    return {"conditions": [{"type": "Failure", "status": "True", "message": message}]}


def test_a_watch_tells_what_happens_to_the_vm_itself_once() -> None:
    request = {"addInterfaceOptions": {"name": "blue", "networkAttachmentDefinitionName": "lan"}}
    running = vmi(primary(), rows=[row("default", "domain")], owner_uid=VM_UID)
    moved = vmi(primary(), rows=[row("default", "domain")], owner_uid=VM_UID, node="node02")
    before = described(running, vm(primary(), status=failed("old")))
    after = described(moved, vm(primary(), status={"interfaceRequests": [request], **failed("new")}))
    told = [line.split("  ", 1)[1] for line in moments(before, after, now=NOW)]
    assert told == ["VM Running on node02", 'requested: add NIC "blue" on network lan', "request failed: new"]
    assert moments(after, after, now=NOW) == []


def test_a_stopped_vm_shows_its_template_and_its_requests() -> None:
    request = {"addInterfaceOptions": {"name": "blue", "networkAttachmentDefinitionName": "lan"}}
    raw = vm(primary(), nic("red"), run_strategy="Halted", status={"interfaceRequests": [request]})
    found = described(None, raw)
    assert found.phase == "Stopped"
    assert [(item.name, item.phase, item.reason) for item in found.nics] == [
        ("default", "Pending", "GuestNotRunning"),
        ("red", "Pending", "GuestNotRunning"),
    ]
    assert [*map(str, found.requests)] == ['add NIC "blue" on network lan']


def test_an_unplug_stepped_back_to_pending_without_a_text() -> None:
    template, running = vm(primary(), absent("blue")), row("default", "domain")
    leaving = operation("blue", operation="Unplug", phase="InPod", reason="WaitingForPodRelease", message="waiting")
    before = described(vmi(primary(), absent("blue"), rows=[running], operations=[leaving]), template)
    after = described(vmi(primary(), rows=[running]), template)
    (told,) = moments(before, after, now=NOW)
    assert told.endswith("  blue  the guest does not have it; its entry in the VM's template goes next")
    (told,) = moments(after, described(vmi(primary(), rows=[running]), vm(primary())), now=NOW)
    assert told.endswith("  blue  gone")


def test_the_removal_of_a_nic_that_never_attached_waited_for_nobody_knew_what() -> None:
    template, running = vm(primary(), absent("blue")), row("default", "domain")
    blocked = operation("blue", phase="Blocked", path="None", reason="NetworkAttachmentDefinitionMissing")
    only_entries = "neither the pod nor the guest has it; the operator takes its entries out next"
    assert described(vmi(absent("blue"))).nics[0].message == only_entries
    before = described(vmi(primary(), nic("blue"), rows=[running], operations=[blocked]), vm(primary(), nic("blue")))
    after = described(vmi(primary(), absent("blue"), rows=[running], operations=[blocked]), template)
    (told,) = moments(before, after, now=NOW)
    assert told.endswith(f"  blue  {only_entries}")


def test_a_nic_on_its_way_is_not_said_to_be_nowhere() -> None:
    moving = operation("blue", phase="Migrating", path="Migration", reason="Migrating")
    after = described(vmi(primary(), absent("blue"), rows=[row("default", "domain")], operations=[moving]))
    assert (after.nics[1].message, after.nics[1].has_left) == ("requested, waiting for the operator", False)


PAUSED = {"type": "Paused", "status": "True", "reason": "PausedByUser"}


@pytest.mark.parametrize(
    ("raw", "phase"),
    [
        (vmi(conditions=[PAUSED]), "Paused"),
        (vmi(conditions=[{**PAUSED, "status": "False"}]), "Running"),
        (vmi(conditions=[PAUSED], phase="Failed"), "Failed"),
        (vmi(phase=""), "Pending"),
    ],
)
def test_a_paused_guest_was_said_to_run(raw: dict[str, Any], phase: str) -> None:
    assert described(raw).phase == phase


POLICY = 'annotation nicplug.io/on-failure: "Panic" is not one of Migrate, Hold, Rollback'


def test_an_annotation_without_effect_was_not_shown(nicplug: CommandLine, served: PlayedServer) -> None:
    condition = {"type": "InvalidHotplugPolicy", "status": "True", "message": POLICY}
    for conditions in ([condition], [{**condition, "status": "False"}], []):
        raw = vmi(primary(), rows=[row("default", "domain")], conditions=conditions)
        served.answers[f"{BASE}/virtualmachineinstances/vmi-fedora"] = (200, raw)
        is_there = conditions == [condition]
        assert (f"policy     {POLICY}" in nicplug("status", "vmi-fedora").stdout) is is_there
        told = json.loads(nicplug("status", "vmi-fedora", "-o", "json").stdout)
        assert told["policyProblem"] == (POLICY if is_there else None)


def test_a_nic_that_nobody_has_seen_says_so() -> None:
    found = described(vmi(primary(), nic("blue")))
    assert found.nics[1].message == "requested, waiting for the operator"
    assert found.nics[1].reason == ""


def test_what_others_wrote_moves_no_cursor(nicplug: CommandLine, served: PlayedServer) -> None:
    """An event, a message or a name is written by whoever may write the object."""
    evil = operation("blue", phase="Blocked", path="None", reason="R", message="\x1b[2Jgone\x9b31m \u202eevil")
    raw = vmi(primary(), nic("blue"), operations=[evil], rows=[row("\x1b]0;title\x07", "domain", pod_interface="x")])
    served.answers[f"{BASE}/virtualmachineinstances/vmi-fedora"] = (200, raw)
    for output_ in ("table", "name", "json", "yaml"):
        done = nicplug("status", "vmi-fedora", "-o", output_)
        assert done.exit_code == 0
        assert not set("\x1b\x07\x9b\u202e") & set(done.stdout)
    served.answers[f"{BASE}/virtualmachineinstances/vmi-fedora"] = refusal(403, "Forbidden", "no\x1b[2J cannot")
    assert "\x1b" not in nicplug("status", "vmi-fedora").stderr


UNSCHEDULABLE = {
    "type": "PodScheduled",
    "status": "False",
    "reason": "Unschedulable",
    "message": "0/3 nodes are available: 3 node(s) were unschedulable",
}
STARTING = vmi(primary(), nic("blue"), phase="Scheduling", conditions=[UNSCHEDULABLE])


def test_a_vm_that_cannot_start_was_not_explained(nicplug: CommandLine, served: PlayedServer) -> None:
    served.answers[f"{BASE}/virtualmachineinstances/vmi-fedora"] = (200, STARTING)
    said = "Unschedulable: 0/3 nodes are available: 3 node(s) were unschedulable"
    shown = nicplug("status", "vmi-fedora").stdout
    assert f"start      {said}\n           To do: Uncordon a node" in shown
    assert json.loads(nicplug("status", "vmi-fedora", "-o", "json").stdout)["startProblem"] == said
    late = _late(described(STARTING), [], READY, 1.0, note="")
    assert str(late) == f"not ready after 1 s: the VM does not start: {said}"
    assert late.remedy.startswith("Uncordon a node")


def test_why_said_of_each_nic_that_the_vm_does_not_start(nicplug: CommandLine, served: PlayedServer) -> None:
    served.answers |= {
        f"{BASE}/virtualmachineinstances/vmi-fedora": (200, STARTING),
        "GET /apis/kubevirt.io/v1/namespaces/kubevirt/kubevirts": collection(kubevirt()),
        "GET /api/v1/namespaces/default/pods": collection(),
        "GET /api/v1/nodes": collection(),
        "GET /apis/apps/v1/namespaces/kube-system/daemonsets": collection(),
        "GET /api/v1/namespaces/kube-system/configmaps": collection(),
        "GET /api/v1/namespaces/default/events": collection(),
    }
    shown = nicplug("why", "vmi-fedora").stdout
    assert shown.count("the VM does not start: Unschedulable: 0/3 nodes") == 1, shown
    assert shown.startswith('NIC "default" on pod, NIC "blue" on blue-net: Pending\n')
    assert nicplug("why", "vmi-fedora", "-o", "name").stdout.split() == [
        "default=GuestNotRunning",
        "blue=GuestNotRunning",
    ]


@pytest.mark.parametrize(
    ("template", "running", "phase"),
    [
        (None, vmi(absent("blue"), rows=[row("blue", "domain")]), "Pending"),
        (None, vmi(absent("blue"), rows=[row("blue", "multus-status")], operations=[DONE]), "Pending"),
        (None, vmi(absent("blue"), operations=[operation("blue")]), "Pending"),
        (vm(absent("blue")), vmi(nic("blue"), rows=[row("blue", "domain")], operations=[DONE]), "Pending"),
        (None, vmi(nic("blue"), rows=[row("blue", "domain")], operations=[DONE]), "Ready"),
    ],
    ids=["without a record", "as it came", "never came", "in the template", "nobody asks"],
)
def test_an_unplug_that_no_operator_has_seen_was_invisible(
    template: dict[str, Any] | None, running: dict[str, Any], phase: str
) -> None:
    found = described(running, template)
    [blue] = found.nics
    is_leaving = phase == "Pending"
    unseen = ("Unplug", "", "requested, waiting for the operator")
    assert blue.phase == phase
    assert (blue.operation, blue.reason, blue.message) == (unseen if is_leaving else ("Plug", "Attached", "there"))
    assert first_reason(found)[0] == ("Requested" if is_leaving else "")
    before = described(vmi())
    [told] = [line for line in moments(before, found, now=NOW) if "blue" in line]
    assert told.endswith("blue  Unplug Pending  requested, waiting for the operator") is is_leaving


@pytest.mark.parametrize(
    ("record", "slot"),
    [
        ({"phase": "Blocked", "path": "None", "reason": "FeatureGateDisabled"}, "reserved"),
        ({"phase": "Migrating", "path": "Migration", "reason": "NoDynamicController"}, "reserved"),
        ({"phase": "Blocked", "path": "None", "reason": "NetworkAttachmentDefinitionMissing"}, ""),
        ({"phase": "Blocked", "path": "Restart", "reason": "NoPciSlot"}, ""),
    ],
    ids=["gate off", "migrating", "no network", "no slot"],
)
def test_a_slot_that_the_budget_counts_as_reserved_was_no_nics(record: dict[str, Any], slot: str) -> None:
    raw = vmi(primary(), nic("blue"), rows=[row("default", "domain")], operations=[operation("blue", **record)])
    raw["status"]["pciBudget"] = {"total": 4, "used": 1, "reserved": 1, "free": 2}
    found = describe(namespace="default", name="vmi-fedora", vm=None, vmi=a_vmi(raw), now=NOW)
    assert [item.pci_slot for item in found.nics] == ["used", slot]


@pytest.mark.parametrize("nics", [(), (primary(),)], ids=["no NICs", "one NIC"])
def test_the_status_of_a_stopped_vm_ended_with_blank_lines(
    nicplug: CommandLine, served: PlayedServer, nics: tuple[Any, ...]
) -> None:
    served.answers |= {
        f"{BASE}/virtualmachines/off": (200, vm(*nics, name="off", run_strategy="Halted")),
        f"{BASE}/virtualmachineinstances/off": refusal(404, "NotFound", "no VMI"),
        LEASE: refusal(403, "Forbidden", "you cannot get leases"),
    }
    lines = nicplug("status", "off").stdout.splitlines()
    assert len(lines) == 1 + len(nics) * 2
    assert lines[-1]


def test_a_request_was_reported_after_the_nic_that_came_of_it() -> None:
    request = {"addInterfaceOptions": {"name": "blue", "networkAttachmentDefinitionName": "lan"}}
    asking = a_vm(vm(primary(), status={"interfaceRequests": [request]}))
    seen = a_vmi(vmi(primary(), nic("blue"), rows=[row("default", "domain")], owner_uid=VM_UID))
    before = describe(namespace="n", name="a", vm=a_vm(vm(primary())), vmi=seen, now=NOW)
    assert moments(before, describe(namespace="n", name="a", vm=asking, vmi=seen, now=NOW), now=NOW) == []
    empty = a_vmi(vmi(primary(), rows=[row("default", "domain")], owner_uid=VM_UID))
    before = describe(namespace="n", name="a", vm=a_vm(vm(primary())), vmi=empty, now=NOW)
    [told] = moments(before, describe(namespace="n", name="a", vm=asking, vmi=empty, now=NOW), now=NOW)
    assert told.endswith('requested: add NIC "blue" on network lan')
