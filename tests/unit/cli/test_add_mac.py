"""`nicplug add --mac` patches the spec, after the checks that the subresource makes."""

import json

import pytest
from tests.build import kubevirt, nad, nic, operation, primary, row, vm, vmi
from tests.unit.cli.played import CommandLine, PlayedServer, collection, refusal

OBJECT = "/apis/kubevirt.io/v1/namespaces/default"
KUBEVIRTS = "GET /apis/kubevirt.io/v1/namespaces/kubevirt/kubevirts"
MAC = "02:00:00:00:00:01"
RED, BLUE, LIVE = "02:00:00:00:00:0a", "02:00:00:00:00:0b", "02:00:00:00:00:0c"
FORBIDDEN = refusal(403, "Forbidden", 'kubevirts is forbidden: User "alice" cannot list resource "kubevirts"')


@pytest.fixture(autouse=True)
def _cluster(server: PlayedServer) -> None:
    """A running VM with two NICs that have an address, and one whose address only its status shows."""
    raw = vm(primary(), nic("red", mac=RED), name="V")
    owner = raw["metadata"]["uid"]
    rows = [row("default", "domain"), row("green", "domain", mac=LIVE)]
    running = vmi(
        primary(), nic("red", mac=RED), nic("blue", mac=BLUE), nic("green"), rows=rows, name="V", owner_uid=owner
    )
    definition = "/apis/k8s.cni.cncf.io/v1/namespaces/default/network-attachment-definitions"
    server.answers |= {
        f"GET {OBJECT}/virtualmachines/V": (200, raw),
        f"GET {OBJECT}/virtualmachineinstances/V": (200, running),
        f"PATCH {OBJECT}/virtualmachines/V": (200, raw),
        f"PATCH {OBJECT}/virtualmachineinstances/V": (200, running),
        KUBEVIRTS: collection(kubevirt()),
        "GET /api/v1/namespaces/kube-system/configmaps": collection(),
        **{f"GET {definition}/{name}": (200, nad(name)) for name in ("lan", "red-net", "blue-net", "green-net")},
    }


def add(nicplug: CommandLine, *more: str, mac: str = MAC):  # type: ignore[no-untyped-def]
    return nicplug("add", "V", "--network", "lan", "--mac", mac, *more)


@pytest.mark.parametrize("mac", ["xx", "01:00:00:00:00:01", "00:00:00:00:00:00", "02:00:00:00:00"])
def test_an_address_that_is_none_was_asked_for(nicplug: CommandLine, server: PlayedServer, mac: str) -> None:
    done = add(nicplug, mac=mac)
    assert done.exit_code == 2
    assert "is not a unicast address of six bytes" in done.stderr
    assert server.requests == []


@pytest.mark.parametrize(("mac", "name"), [(RED, "red"), (BLUE.upper(), "blue"), (LIVE.replace(":", "-"), "green")])
@pytest.mark.parametrize("more", [(), ("--persist",)], ids=["VMI", "VM"])
def test_an_address_that_the_vm_has_was_asked_for_again(
    nicplug: CommandLine, server: PlayedServer, more: tuple[str, ...], mac: str, name: str
) -> None:
    done = add(nicplug, *more, mac=mac)
    assert done.exit_code == 7
    assert f'is that of NIC "{name}": use another one' in done.stderr
    assert server.put() == []


def test_a_guest_without_a_free_slot_was_asked(nicplug: CommandLine, server: PlayedServer) -> None:
    nics = [nic(name, attachment="lan") for name in ("red", "green", "foo", "boo", "doo", "goo", "woo")]
    records = [operation(item["name"], phase="Ready", reason="Attached") for item, _ in nics]
    rows = [row(item["name"], "domain") for item, _ in (primary(), *nics)]
    full = vmi(primary(), *nics, name="V", rows=rows, operations=records)
    full["status"]["machine"] = {"type": "q35"}
    server.answers |= {
        f"GET {OBJECT}/virtualmachines/V": refusal(404, "NotFound", 'virtualmachines.kubevirt.io "V" not found'),
        f"GET {OBJECT}/virtualmachineinstances/V": (200, full),
    }
    done = add(nicplug)
    assert done.exit_code == 7
    assert 'no free PCI slot for NIC "lan"' in done.stderr
    assert server.put() == []


def test_the_gate_was_off(nicplug: CommandLine, server: PlayedServer) -> None:
    server.answers[KUBEVIRTS] = collection(kubevirt(""))
    done = add(nicplug)
    assert done.exit_code == 7
    assert 'the feature gate "HotplugNICs" is not enabled: a cluster admin lists it in' in done.stderr
    assert server.put() == []


def test_a_network_that_the_policy_forbids_was_asked_for(nicplug: CommandLine, server: PlayedServer) -> None:
    done = nicplug("add", "V", "--network", "ops/lan", "--mac", MAC)
    assert done.exit_code == 4
    assert "may not use network attachment definitions of namespace ops" in done.stderr
    assert server.put() == []


def test_a_network_that_the_requester_must_read_was_asked_for(nicplug: CommandLine, server: PlayedServer) -> None:
    server.answers[KUBEVIRTS] = collection(kubevirt(hotplug={"requireNadAccess": True}))
    definition = "GET /apis/k8s.cni.cncf.io/v1/namespaces/default/network-attachment-definitions/lan"
    server.answers[definition] = refusal(403, "Forbidden", 'User "alice" cannot get resource')
    done = add(nicplug)
    assert done.exit_code == 4
    assert "requireNadAccess" in done.stderr
    assert server.put() == []


def test_a_taken_name_was_the_api_servers_error(nicplug: CommandLine, server: PlayedServer) -> None:
    done = add(nicplug, "--name", "red")
    assert done.exit_code == 7
    assert "use another name, or remove that NIC first" in done.stderr
    assert server.put() == []


@pytest.mark.parametrize("mac", [MAC, LIVE])
def test_a_nic_that_is_there_with_another_address(nicplug: CommandLine, server: PlayedServer, mac: str) -> None:
    done = nicplug("add", "V", "--network", "green-net", "--name", "green", "--mac", mac)
    assert done.exit_code == (0 if mac == LIVE else 7)
    assert server.put() == []


def test_a_request_that_waits_has_no_address(nicplug: CommandLine, server: PlayedServer) -> None:
    options = {"name": "lan", "networkAttachmentDefinitionName": "lan"}
    raw = vm(primary(), name="V", status={"interfaceRequests": [{"addInterfaceOptions": options}]})
    server.answers[f"GET {OBJECT}/virtualmachines/V"] = (200, raw)
    done = add(nicplug, "--name", "lan", "--persist")
    assert (done.exit_code, server.put()) == (7, [])
    assert "pending request" in done.stderr


def test_who_may_not_read_the_policy_is_told_what_is_not_checked(nicplug: CommandLine, server: PlayedServer) -> None:
    server.answers[KUBEVIRTS] = FORBIDDEN
    done = nicplug("add", "V", "--network", "ops/lan", "--mac", MAC)
    assert done.exit_code == 0, done.output
    assert "Note: kubevirts cannot be read" in done.stderr
    assert "nadPolicy are not checked" in done.stderr
    [sent] = server.put()
    assert json.loads(sent.body)[2]["value"][-1] == {"name": "lan", "bridge": {}, "macAddress": MAC}


def test_lists_that_change_meanwhile_are_said(nicplug: CommandLine, server: PlayedServer) -> None:
    server.answers[f"PATCH {OBJECT}/virtualmachineinstances/V"] = refusal(
        422, "Invalid", "the server rejected our request due to an error in our request"
    )
    done = add(nicplug)
    assert done.exit_code == 7
    assert "have changed since they were read" in done.stderr
    assert "Try again." in done.stderr


def test_a_log_line_came_before_the_result(nicplug: CommandLine, server: PlayedServer) -> None:
    """Multus says that it isolates namespaces, which is logged once by those who run for long."""
    config = json.dumps({"namespaceIsolation": True})
    multus = {"metadata": {"name": "multus-daemon-config"}, "data": {"daemon-config.json": config}}
    server.answers["GET /api/v1/namespaces/kube-system/configmaps"] = collection(multus)
    done = add(nicplug)
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith('NIC "lan" on network lan requested for V')
