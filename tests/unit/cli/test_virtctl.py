"""What is sent is what KubeVirt's virtctl sends, byte for byte; what is said is what it says."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.build import VMI_UID, kubevirt, nic, primary, vm, vmi
from tests.fakes.kubeconfig import write_kubeconfig
from tests.unit.cli.played import ACCEPTED, CommandLine, PlayedServer, collection, refusal

from nicplug.cli.main import main

OBJECT = "/apis/kubevirt.io/v1/namespaces/default"
PREFIX = "/apis/subresources.kubevirt.io/v1/namespaces/default"
LEASE = "/apis/coordination.k8s.io/v1/namespaces/nicplug-system/leases/nicplug-operator"
N = "--network-attachment-definition-name"

# docs: what the binaries of KubeVirt 1.0.0-rc.0 and 1.0.0 were recorded to send.
RECORDED = [
    (
        ["addinterface", "V", N, "N", "--name", "I"],
        "virtualmachineinstances/V/addinterface",
        _ADD := b'{"networkAttachmentDefinitionName":"N","name":"I"}',
    ),
    (["addinterface", "V", N, "N", "--name", "I", "--persist"], "virtualmachines/V/addinterface", _ADD),
    (["removeinterface", "V", "--name", "I"], "virtualmachineinstances/V/removeinterface", b'{"name":"I"}'),
    (["removeinterface", "V", "--name", "I", "--persist"], "virtualmachines/V/removeinterface", b'{"name":"I"}'),
    (["start", "V"], "virtualmachines/V/start", b"{}"),
    (["start", "V", "--paused"], "virtualmachines/V/start", b'{"paused":true}'),
    (["stop", "V"], "virtualmachines/V/stop", b"{}"),
    (["stop", "V", "--force", "--grace-period=0"], "virtualmachines/V/stop", b'{"gracePeriod":0}'),
    (["restart", "V"], "virtualmachines/V/restart", b"{}"),
    (["migrate", "V"], "virtualmachines/V/migrate", b"{}"),
]


@pytest.mark.parametrize(
    ("arguments", "tail", "body"), RECORDED, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_requests_are_virtctls(
    nicplug: CommandLine, server: PlayedServer, arguments: list[str], tail: str, body: bytes
) -> None:
    server.answers[f"PUT {PREFIX}/{tail}"] = ACCEPTED
    if arguments[0] == "restart":  # reads before which NICs it removes; a read that fails leaves the other on its way
        server.answers[f"GET {OBJECT}/virtualmachines/V"] = (200, vm(primary(), name="V"))
        server.answers[f"GET {OBJECT}/virtualmachineinstances/V"] = (200, vmi(primary(), name="V"))
    done = nicplug(*arguments)
    assert done.exit_code == 0, done.output
    (sent,) = server.put()
    after = server.asked()[server.asked().index(sent) + 1 :]
    assert [item.path for item in after] == ([] if arguments[0].endswith("interface") else [LEASE])
    assert (sent.method, sent.path, sent.body) == ("PUT", f"{PREFIX}/{tail}", body)
    assert sent.header("Content-Type") == []
    assert sent.header("Accept") == ["application/json, */*"]
    assert sent.header("Content-Length") == [str(len(body))]
    said = f"VM V was scheduled to {arguments[0]}\n"
    assert done.stdout == ("" if arguments[0].endswith("interface") else said)


WRONG = [
    (["addinterface"], "Number of input parameters is incorrect, addinterface accepts 1 arg(s), received 0"),
    (["addinterface", "a", "b"], "addinterface accepts 1 arg(s), received 2"),
    (["addinterface", "V", "--name", "I"], f'required flag(s) "{N[2:]}" not set'),
    (["addinterface", "V"], f'required flag(s) "name", "{N[2:]}" not set'),
    (["removeinterface", "V"], 'required flag(s) "name" not set'),
    (["removeinterface", "V", "--nam"], "--nam"),
]


@pytest.mark.parametrize(
    ("arguments", "text"), WRONG, ids=lambda value: " ".join(value) if isinstance(value, list) else ""
)
def test_wrong_use_ends_with_1_before_any_request(
    nicplug: CommandLine, server: PlayedServer, arguments: list[str], text: str
) -> None:
    done = nicplug(*arguments)
    assert done.exit_code == 1
    assert text in done.stderr
    assert server.requests == []


def test_the_servers_words_are_passed_on_unchanged(nicplug: CommandLine, server: PlayedServer) -> None:
    text = "Something that nobody has a remedy for."
    server.answers[f"PUT {PREFIX}/virtualmachineinstances/V/addinterface"] = refusal(400, "BadRequest", text)
    done = nicplug("addinterface", "V", N, "N", "--name", "I")
    assert (done.exit_code, done.stderr) == (1, f"{text}\n")


def test_a_gate_that_is_off_has_its_remedy_on_a_second_line(nicplug: CommandLine, server: PlayedServer) -> None:
    text = 'Unable to Add Interface because the "HotplugNICs" feature gate is not enabled.'
    server.answers[f"PUT {PREFIX}/virtualmachineinstances/V/addinterface"] = refusal(400, "BadRequest", text)
    done = nicplug("addinterface", "V", N, "N", "--name", "I")
    first, second = done.stderr.splitlines()
    assert (done.exit_code, done.stdout, first) == (1, "", text)
    assert second.startswith("To enable it, a cluster admin lists it in spec.configuration.developerConfiguration")


@pytest.mark.parametrize(
    ("command", "remedy"),
    [("console", "Use KubeVirt's own virtctl for it."), ("migrate-cancel", "kubectl delete vmim NAME")],
)
def test_what_virtctl_has_besides_was_no_such_command(command: str, remedy: str) -> None:
    done = CliRunner().invoke(main, [command, "V"], prog_name="virtctl")
    assert done.exit_code == 2
    assert done.stderr.startswith(f'Error: "{command}" is not about NICs\n  ')
    assert remedy in done.stderr
    assert "No such command" in CliRunner().invoke(main, ["consle", "V"]).stderr


@pytest.mark.parametrize(
    ("code", "reason", "text"),
    [
        (401, "Unauthorized", "Unauthorized"),
        (403, "Forbidden", 'virtualmachineinstances.subresources.kubevirt.io "V" is forbidden: User "u" cannot update'),
        (404, "NotFound", 'virtualmachineinstance.kubevirt.io "V" not found'),
        (
            409,
            "Conflict",
            'Operation cannot be fulfilled on virtualmachineinstance.kubevirt.io "V": VMI is not running',
        ),
        (422, "Invalid", 'VirtualMachineInstance.kubevirt.io "V" is invalid: no such name'),
        (429, "TooManyRequests", "Too many requests, please try again later."),
        (500, "InternalError", "Internal error occurred: unable to retrieve vmi [V]: etcd is away"),
        (503, "ServiceUnavailable", "service unavailable"),
    ],
)
def test_every_refusal_begins_with_the_servers_words(
    nicplug: CommandLine, server: PlayedServer, code: int, reason: str, text: str
) -> None:
    server.answers[f"PUT {PREFIX}/virtualmachineinstances/V/addinterface"] = refusal(code, reason, text)
    done = nicplug("addinterface", "V", N, "N", "--name", "I")
    assert (done.exit_code, done.stderr.splitlines()[0]) == (1, text)


def test_names_are_sent_as_one_segment(nicplug: CommandLine, server: PlayedServer) -> None:
    for name in ("a/b", "..", "%00"):
        done = nicplug("start", name)
        assert done.exit_code == 2
        assert "cannot be the name of an object" in done.stderr
    assert server.requests == []


def test_the_namespace_is_that_of_the_context_or_the_option(server: PlayedServer, tmp_path: Path) -> None:
    own = CommandLine(write_kubeconfig(tmp_path / "own", server=server.url, namespace="mine"))
    own("start", "V")
    own("start", "V", "-n", "yours")
    assert [item.path.split("/")[5] for item in server.asked()] == ["mine", "yours"]


FLAGS_FIRST = [
    (["-n", "yours"], ["start", "V"], "yours"),
    (["--namespace=yours"], ["addinterface", "V", N, "N", "--name", "I"], "yours"),
    (["-n", "yours"], ["start", "V", "-n", "mine"], "mine"),
    ([], ["status", "V", "-n", "mine"], "mine"),
    (["--as", "bob", "--as-group", "g"], ["status", "V"], "default"),
]


@pytest.mark.parametrize(("before", "arguments", "namespace"), FLAGS_FIRST, ids=lambda value: " ".join(value))
def test_flags_before_the_command_were_no_such_option(
    nicplug: CommandLine, server: PlayedServer, before: list[str], arguments: list[str], namespace: str
) -> None:
    done = CliRunner().invoke(main, [f"--kubeconfig={nicplug.kubeconfig}", *before, *arguments])
    assert "No such option" not in done.output
    assert {item.path.split("/")[5] for item in server.asked()} == {namespace}
    users = {tuple(item.header("Impersonate-User") + item.header("Impersonate-Group")) for item in server.asked()}
    assert users == {("bob", "g") if "bob" in before else ()}


def test_flags_before_a_command_that_does_not_take_them_are_refused() -> None:
    done = CliRunner().invoke(main, ["-n", "yours", "run"])
    assert done.exit_code == 2
    assert "run takes its options after its name" in done.output


def test_force_and_grace_period_belong_together(nicplug: CommandLine, server: PlayedServer) -> None:
    assert nicplug("stop", "V", "--force").exit_code == 2
    assert nicplug("restart", "V", "--grace-period=3").exit_code == 2
    assert server.requests == []


def test_add_names_the_nic_after_its_network(nicplug: CommandLine, server: PlayedServer) -> None:
    running = vmi(primary(), nic("lan"), name="V")
    server.answers[f"GET {OBJECT}/virtualmachineinstances/V"] = (200, running)
    server.answers[f"GET {OBJECT}/virtualmachines/V"] = refusal(
        404, "NotFound", 'virtualmachines.kubevirt.io "V" not found'
    )
    server.answers[f"PUT {PREFIX}/virtualmachineinstances/V/addinterface"] = ACCEPTED
    done = nicplug("add", "V", "--network", "ops/lan")
    assert done.exit_code == 0, done.output
    assert [item.body for item in server.put()] == [b'{"networkAttachmentDefinitionName":"ops/lan","name":"lan-2"}']
    assert 'NIC "lan-2" on network ops/lan requested for V' in done.stdout


def test_add_to_a_stopped_vm_says_how(nicplug: CommandLine, server: PlayedServer) -> None:
    server.answers[f"GET {OBJECT}/virtualmachines/V"] = (200, vm(primary(), name="V"))
    server.answers[f"GET {OBJECT}/virtualmachineinstances/V"] = refusal(
        404, "NotFound", 'virtualmachineinstances.kubevirt.io "V" not found'
    )
    done = nicplug("add", "V", "--network", "lan")
    assert done.exit_code == 7
    assert "is not running" in done.stderr
    assert "--persist" in done.stderr
    assert server.put() == []


def test_a_mac_address_goes_into_the_spec_under_guard(nicplug: CommandLine, server: PlayedServer) -> None:
    server.answers |= {
        "GET /apis/kubevirt.io/v1/namespaces/kubevirt/kubevirts": collection(kubevirt()),
        "GET /api/v1/namespaces/kube-system/configmaps": collection(),
    }
    server.answers[f"GET {OBJECT}/virtualmachines/V"] = refusal(
        404, "NotFound", 'virtualmachines.kubevirt.io "V" not found'
    )
    server.answers[f"GET {OBJECT}/virtualmachineinstances/V"] = (200, vmi(primary(), name="V"))
    server.answers[f"PATCH {OBJECT}/virtualmachineinstances/V"] = (200, vmi(name="V"))
    done = nicplug("add", "V", "--network", "lan", "--mac", "02:00:00:00:00:01")
    assert done.exit_code == 0, done.output
    (sent,) = server.put()
    patch = json.loads(sent.body)
    assert [item["op"] for item in patch] == ["test", "test", "add", "test", "add"]
    assert patch[0] == {"op": "test", "path": "/metadata/uid", "value": VMI_UID}
    assert patch[2]["value"][-1] == {"name": "lan", "bridge": {}, "macAddress": "02:00:00:00:00:01"}
    assert patch[4]["value"][-1] == {"name": "lan", "multus": {"networkName": "lan"}}
