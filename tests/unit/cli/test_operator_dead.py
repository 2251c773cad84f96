"""Without an operator nothing is carried out; commands said so nowhere but in `status` and `doctor`."""

import json
import os
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from click.testing import CliRunner
from tests.build import VM_UID, kubevirt, nad, nic, operation, primary, row, vm, vmi
from tests.unit.cli.played import ACCEPTED, Answer, CommandLine, PlayedServer, collection, refusal

from nicplug.cli.connection import SANDBOX_CONTEXT
from nicplug.cli.main import main
from nicplug.plan.nic.attachments import CREATE_DEFINITION

OBJECT = "/apis/kubevirt.io/v1/namespaces/default"
VMIS = "virtualmachineinstances"
PREFIX = "/apis/subresources.kubevirt.io/v1/namespaces/default"
NADS = "/apis/k8s.cni.cncf.io/v1/namespaces/default/network-attachment-definitions"
NADS_LISTED = f"GET {NADS}"
LEASE = "GET /apis/coordination.k8s.io/v1/namespaces/nicplug-system/leases/nicplug-operator"


DEFINITION = "GET /apis/apiextensions.k8s.io/v1/customresourcedefinitions/virtualmachineinstances.kubevirt.io"


def lease(renewed: str) -> Answer:
    return 200, {"spec": {"holderIdentity": "pod-a", "renewTime": renewed}}


OLD = lease("2026-01-02T03:04:05.000000Z")
FORBIDDEN = refusal(403, "Forbidden", 'leases is forbidden: User "alice" cannot get resource "leases"')


@pytest.fixture(autouse=True)
def _cluster(server: PlayedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NICPLUG_NAMESPACE", raising=False)
    waiting = vmi(
        primary(),
        nic("blue"),
        name="V",
        owner_uid=VM_UID,
        operations=[operation("blue")],
        rows=[row("default", "domain")],
    )
    server.answers |= {
        f"GET {OBJECT}/virtualmachines/V": (200, vm(primary(), name="V")),
        f"GET {OBJECT}/virtualmachineinstances/V": (200, waiting),
        f"GET {OBJECT}/virtualmachineinstancemigrations": collection(),
        "GET /apis/kubevirt.io/v1/namespaces/kubevirt/kubevirts": collection(kubevirt()),
        "GET /api/v1/namespaces/default/pods": collection(),
        "GET /apis/apps/v1/namespaces/default/controllerrevisions": collection(),
        "GET /api/v1/nodes": collection(),
        "GET /apis/k8s.cni.cncf.io/v1/namespaces/default/network-attachment-definitions/blue-net": (
            200,
            nad("blue-net"),
        ),
        "GET /api/v1/namespaces/nicplug-system/configmaps/nicplug-migration-slots": refusal(404, "NotFound", "none"),
        "GET /apis/apps/v1/namespaces/kube-system/daemonsets": collection(),
        "GET /api/v1/namespaces/kube-system/configmaps": collection(),
        "GET /api/v1/namespaces/default/events": collection(),
        LEASE: OLD,
        **{f"PUT {PREFIX}/virtualmachines/V/{what}": ACCEPTED for what in ("start", "stop", "restart", "migrate")},
        **{f"PUT {PREFIX}/virtualmachineinstances/V/{what}face": ACCEPTED for what in ("addinter", "removeinter")},
    }


COMMANDS = [
    *(pytest.param([what, "V"], id=what) for what in ("start", "stop", "restart", "migrate")),
    pytest.param(["add", "V", "--network", "lan"], id="add"),
    pytest.param(["remove", "V", "blue"], id="remove"),
]


@pytest.mark.parametrize("arguments", COMMANDS)
def test_a_request_succeeded_silently_without_an_operator(
    nicplug: CommandLine, server: PlayedServer, arguments: list[str]
) -> None:
    done = nicplug(*arguments)
    assert done.exit_code == 0, done.output
    assert "this waits, as no nicplug operator works: pod-a has not renewed the Lease" in done.stderr
    assert "operator" not in done.stdout
    server.requests.clear()
    for answer in (FORBIDDEN, lease(datetime.now(UTC).isoformat()), refusal(500, "InternalError", "etcd is away")):
        server.answers[LEASE] = answer
        done = nicplug(*arguments)
        assert (done.exit_code, "operator" in done.stderr) == (0, False)
    assert sum(item.path.endswith("nicplug-operator") for item in server.requests) == 3, "one GET each"


class Recorded(dict[str, str]):
    """The environment, and what of it is looked for."""

    def __init__(self, known: dict[str, str]) -> None:
        super().__init__(known)
        self.asked: set[str] = set()

    def get(self, name: str, default: Any = None) -> Any:
        self.asked.add(name)
        return super().get(name, default)

    def __getitem__(self, name: str) -> str:
        self.asked.add(name)
        return super().__getitem__(name)


READING = [
    *COMMANDS,
    pytest.param(["add", "V", "--network", "lan", "--mac", "02:00:00:00:00:01"], id="add --mac"),
    *(pytest.param(arguments, id=" ".join(arguments)) for arguments in (["status"], ["status", "V"], ["plan", "V"])),
    *(pytest.param(arguments, id=" ".join(arguments)) for arguments in (["why", "V", "blue"], ["migrations"])),
    pytest.param(["wait", "V", "--timeout", "100ms"], id="wait"),
    *(pytest.param(arguments, id=" ".join(arguments)) for arguments in (["doctor"], ["version"], ["uninstall"])),
    pytest.param(
        ["addinterface", "V", "--network-attachment-definition-name", "lan", "--name", "x"], id="addinterface"
    ),
    pytest.param(["removeinterface", "V", "--name", "blue"], id="removeinterface"),
]


@pytest.mark.parametrize("arguments", READING)
def test_the_namespace_of_the_operator_was_read_from_a_variable_that_no_help_named(
    nicplug: CommandLine, server: PlayedServer, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    asking = vm(primary(), name="V", status={"interfaceRequests": [{}]})
    server.answers |= {
        f"GET {OBJECT}/virtualmachines": collection(asking),
        f"GET {OBJECT}/{VMIS}": collection(),
        f"GET {NADS}/lan": (200, nad("lan")),
        f"PATCH {OBJECT}/{VMIS}/V": (200, vmi(primary(), name="V")),
    }
    environment = Recorded(dict(os.environ))
    monkeypatch.setattr(os, "environ", environment)
    nicplug(*arguments)
    monkeypatch.undo()
    told = "".join(CliRunner().invoke(main, [*names, "--help"]).output for names in ([], arguments[:1]))
    read = {name for name in environment.asked if name.startswith("NICPLUG_")}
    assert {name for name in read if name not in told} == set()
    if arguments[0] not in ("version", "addinterface", "removeinterface", "uninstall"):
        assert "NICPLUG_NAMESPACE" in read, "or this test looks for nothing"


def test_every_command_that_asks_for_a_cluster_is_looked_at() -> None:
    looked_at = {str(item.values[0][0]) for item in READING if isinstance(item.values[0], list)}
    assert set(main.commands) - looked_at == {"completion", "run", "api", "sandbox"}


def test_the_operators_namespace_is_that_of_its_setting(
    nicplug: CommandLine, server: PlayedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NICPLUG_NAMESPACE", "other")
    server.answers[LEASE.replace("nicplug-system", "other")] = lease(datetime.now(UTC).isoformat())
    assert nicplug("start", "V").stderr == ""


def test_why_promised_what_a_dead_operator_does(nicplug: CommandLine, server: PlayedServer) -> None:
    said = "nothing happens now, as no nicplug operator works: pod-a has not renewed the Lease"
    assert said in nicplug("why", "V", "blue").stdout
    assert said in json.loads(nicplug("why", "V", "blue", "-o", "json").stdout)["note"]
    server.answers[LEASE] = lease(datetime.now(UTC).isoformat())
    assert "operator works" not in nicplug("why", "V", "blue").stdout
    assert json.loads(nicplug("why", "V", "blue", "-o", "json").stdout)["note"] is None


def test_why_told_the_second_in_which_a_dead_operator_would_act(nicplug: CommandLine, server: PlayedServer) -> None:
    soon = (datetime.now(UTC) + timedelta(seconds=90)).isoformat()
    failed = operation("blue", phase="Failed", reason="AttachFailed", nextAttemptTime=soon)
    server.answers[f"GET {OBJECT}/{VMIS}/V"] = (
        200,
        vmi(primary(), nic("blue"), name="V", owner_uid=VM_UID, operations=[failed], rows=[row("default", "domain")]),
    )
    told = nicplug("why", "V", "blue").stdout
    assert "  next       once an operator works: it is tried again\n" in told
    assert "  next       in " not in told
    server.answers[LEASE] = lease(datetime.now(UTC).isoformat())
    told = nicplug("why", "V", "blue").stdout
    assert re.search(r"^  next       in (8\d|90)s \(.*\), it is tried again$", told, re.MULTILINE)


def test_why_says_what_to_type_for_a_misspelt_network(nicplug: CommandLine, server: PlayedServer) -> None:
    missing = operation("blue", phase="Blocked", path="None", reason="NetworkAttachmentDefinitionMissing")
    running = vmi(primary(), nic("blue", attachment="lans"), name="V", owner_uid=VM_UID, operations=[missing])
    server.answers |= {
        f"GET {OBJECT}/{VMIS}/V": (200, running),
        f"GET {NADS}/lans": refusal(404, "NotFound", "no such definition"),
        NADS_LISTED: collection({"metadata": {"name": "lan"}}),
    }
    said = 'If "lans" is the wrong name (did you mean lan?), remove the NIC (nicplug remove V blue --namespace default)'
    todo = f"  to do      {CREATE_DEFINITION}. {said}"
    assert todo in nicplug("why", "V", "blue").stdout
    assert said in json.loads(nicplug("why", "V", "blue", "-o", "json").stdout)["todo"]


SAID = "nothing happens now, as no nicplug operator works: pod-a has not renewed the Lease"


@pytest.mark.parametrize("arguments", [("plan", "V"), ("migrations",)], ids=" ".join)
def test_what_comes_next_was_told_as_if_an_operator_worked(
    nicplug: CommandLine, server: PlayedServer, arguments: tuple[str, ...]
) -> None:
    assert SAID in nicplug(*arguments).stdout
    assert SAID in json.loads(nicplug(*arguments, "-o", "json").stdout)["note"]
    server.requests.clear()
    server.answers[LEASE] = lease(datetime.now(UTC).isoformat())
    assert "operator works" not in nicplug(*arguments).stdout
    assert sum(item.path.endswith("nicplug-operator") for item in server.requests) == 1
    assert json.loads(nicplug(*arguments, "-o", "json").stdout)["note"] is None


@pytest.mark.parametrize("arguments", [("plan", "V"), ("migrations",)], ids=" ".join)
def test_the_lease_is_looked_for_where_the_operator_runs(
    nicplug: CommandLine, server: PlayedServer, arguments: tuple[str, ...]
) -> None:
    server.answers |= {
        LEASE.replace("nicplug-system", "other"): lease(datetime.now(UTC).isoformat()),
        "GET /api/v1/namespaces/other/configmaps/nicplug-migration-slots": refusal(404, "NotFound", "none"),
    }
    assert "operator works" not in nicplug(*arguments, "--operator-namespace", "other").stdout


def test_a_plan_of_nothing_needs_no_operator(nicplug: CommandLine, server: PlayedServer) -> None:
    quiet = vmi(primary(), name="V", owner_uid=VM_UID, rows=[row("default", "domain")])
    server.answers[f"GET {OBJECT}/virtualmachineinstances/V"] = (200, quiet)
    assert "operator works" not in nicplug("plan", "V").stdout
    assert not any(item.path.endswith("nicplug-operator") for item in server.requests)


def test_a_nic_that_was_asked_for_was_said_not_to_exist(nicplug: CommandLine, server: PlayedServer) -> None:
    request = {"addInterfaceOptions": {"name": "red", "networkAttachmentDefinitionName": "lan"}}
    asking = vm(primary(), name="V", status={"interfaceRequests": [request]})
    server.answers |= {
        f"GET {OBJECT}/virtualmachines/V": (200, asking),
        f"GET {NADS}/lan": (200, nad("lan")),
    }
    for done in (nicplug("why", "V", "red"), nicplug("why", "V")):
        assert (done.exit_code, done.stderr) == (0, "")
        assert 'NIC "red" on lan: Plug Pending\n  why        requested, waiting for the operator\n' in done.stdout
        assert SAID in done.stdout
    assert "has no NIC" in nicplug("why", "V", "green").stderr


def test_waiting_for_a_requested_nic_ended_as_if_its_name_were_misspelt(
    nicplug: CommandLine, server: PlayedServer
) -> None:
    request = {"addInterfaceOptions": {"name": "red", "networkAttachmentDefinitionName": "lan"}}
    server.answers[f"GET {OBJECT}/virtualmachines/V"] = (
        200,
        vm(primary(), name="V", status={"interfaceRequests": [request]}),
    )
    for plural in ("virtualmachines", "virtualmachineinstances"):
        server.answers[f"GET {OBJECT}/{plural}"] = refusal(503, "ServiceUnavailable", "no watches here")
    done = nicplug("wait", "V", "red", "--timeout", "100ms")
    assert done.exit_code == 8
    assert 'not ready after 0.1 s: NIC "red" is requested, waiting for the operator\n' in done.stderr
    assert f"  {SAID[0].upper()}{SAID[1:]}" in done.stderr


@pytest.mark.parametrize("is_asking", [True, False])
def test_a_request_of_a_stopped_vm_waits_for_an_operator_too(
    nicplug: CommandLine, server: PlayedServer, is_asking: bool
) -> None:
    request = {"addInterfaceOptions": {"name": "red", "networkAttachmentDefinitionName": "lan"}}
    stopped = vm(
        primary(), name="V", run_strategy="Halted", status={"interfaceRequests": [request] if is_asking else []}
    )
    server.answers |= {
        f"GET {OBJECT}/virtualmachines/V": (200, stopped),
        f"GET {OBJECT}/virtualmachineinstances/V": refusal(404, "NotFound", "no instance"),
        DEFINITION: refusal(403, "Forbidden", "you cannot get customresourcedefinitions"),
    }
    assert "as no nicplug operator works" in nicplug("status", "V").stdout


@pytest.fixture
def in_sandbox(nicplug: CommandLine) -> CommandLine:
    """The same cluster by the kubeconfig of a sandbox."""
    content = json.loads(nicplug.kubeconfig.read_text())
    content["contexts"][0]["name"] = content["current-context"] = SANDBOX_CONTEXT
    nicplug.kubeconfig.write_text(json.dumps(content))
    return nicplug


UP = "nicplug sandbox up --operator"


def test_in_a_sandbox_no_command_named_what_starts_the_operator(in_sandbox: CommandLine, server: PlayedServer) -> None:
    assert f"has not renewed the Lease since 2026-01-02 03:04:05 UTC. Run `{UP}`" in in_sandbox("start", "V").stderr
    assert f"UTC. Run `{UP}`\n" in in_sandbox("why", "V", "blue").stdout
    assert f"UTC. Run `{UP}`\n" in in_sandbox("status", "V").stdout
    away = refusal(503, "ServiceUnavailable", "error trying to reach service")
    server.answers[f"PUT {PREFIX}/virtualmachineinstances/V/addinterface"] = away
    done = in_sandbox("add", "V", "--network", "lan")
    assert (done.exit_code, done.stderr.splitlines()[1]) == (6, f"  Start it again: {UP}")


def test_in_a_sandbox_doctor_recommended_kubectl(in_sandbox: CommandLine, server: PlayedServer) -> None:
    server.answers["GET /apis/apps/v1/namespaces/nicplug-system/deployments/nicplug-operator"] = refusal(
        404, "NotFound", "no Deployment"
    )
    service = "GET /apis/apiregistration.k8s.io/v1/apiservices/v1.subresources.kubevirt.io"
    for answer in (
        refusal(404, "NotFound", "no APIService"),
        (200, {"spec": {}, "status": {"conditions": [{"type": "Available", "status": "False"}]}}),
    ):
        server.answers[service] = answer
        found = json.loads(in_sandbox("doctor", "-o", "json").stdout)["findings"]
        remedies = {item["check"]: item["remedy"] for item in found if item["check"] in ("leader", "api", "operator")}
        assert remedies == dict.fromkeys(("leader", "api"), f"Start it again: {UP}")


OFF = vm(primary(), name="V", run_strategy="Halted")
AT_REST = vmi(primary(), name="V", owner_uid=VM_UID, rows=[row("default", "domain")])


@pytest.mark.parametrize("arguments", [("status",), ("status", "V"), ("why", "V")], ids=" ".join)
def test_a_dead_operator_was_told_only_while_a_nic_waited(
    nicplug: CommandLine, server: PlayedServer, arguments: tuple[str, ...]
) -> None:
    server.answers |= {
        f"GET {OBJECT}/{VMIS}/V": (200, AT_REST),
        f"GET {OBJECT}/{VMIS}": collection(AT_REST),
        f"GET {OBJECT}/virtualmachines": collection(vm(primary(), name="V")),
    }
    said = "no nicplug operator works: pod-a has not renewed the Lease"
    assert said in nicplug(*arguments).stdout
    assert said in json.loads(nicplug(*arguments, "-o", "json").stdout)["note"]
    server.answers[LEASE] = lease(datetime.now(UTC).isoformat())
    assert "operator works" not in nicplug(*arguments).stdout


def test_a_stop_that_waits_was_listed_nowhere(nicplug: CommandLine, server: PlayedServer) -> None:
    server.answers |= {
        f"GET {OBJECT}/virtualmachines/V": (200, OFF),
        f"GET {OBJECT}/{VMIS}/V": (200, AT_REST),
        f"GET {OBJECT}/virtualmachines": collection(OFF),
        f"GET {OBJECT}/{VMIS}": collection(AT_REST),
    }
    assert "requested  stop the VM\n" in nicplug("status", "V").stdout
    assert json.loads(nicplug("status", "V", "-o", "json").stdout)["inFlight"]["requests"] == ["stop the VM"]
    assert nicplug("status").stdout.splitlines()[1].endswith("Requested")


def test_the_remedy_of_a_nic_that_is_ready_was_shown_nowhere(nicplug: CommandLine, server: PlayedServer) -> None:
    twin = operation("blue", phase="Ready", reason="NotAdmitted", message="it would not start again", remedy="Use x")
    rows = [row("default", "domain"), row("blue", "domain")]
    running = vmi(primary(), nic("blue"), name="V", owner_uid=VM_UID, operations=[twin], rows=rows)
    server.answers[f"GET {OBJECT}/{VMIS}/V"] = (200, running)
    assert "  to do      Use x\n" in nicplug("why", "V", "blue").stdout
    told = nicplug("status", "V").stdout
    assert "blue       it would not start again\n" in told
    assert "           To do: Use x\n" in told
