"""What `nicplug add` and `remove` say of what they have done."""

import pytest
from tests.build import VM_UID, Nic, nic, primary, row, vm, vmi
from tests.unit.cli.played import ACCEPTED, CommandLine, PlayedServer, collection, refusal

from nicplug.plan.nic.requested import Hint

OBJECT = "/apis/kubevirt.io/v1/namespaces/default"
PREFIX = "/apis/subresources.kubevirt.io/v1/namespaces/default"
LEASE = "GET /apis/coordination.k8s.io/v1/namespaces/nicplug-system/leases/nicplug-operator"
BLUE = nic("blue", attachment="lan")


def serve(server: PlayedServer, *, template: tuple[Nic, ...] = (), running: tuple[Nic, ...] | None = ()) -> None:
    """A VM, and what runs of it."""
    missing = refusal(404, "NotFound", "not found: vmi")
    live = vmi(primary(), *(running or ()), name="V", owner_uid=VM_UID, rows=[row("default", "domain")])
    server.answers |= {
        f"GET {OBJECT}/virtualmachines/V": (200, vm(primary(), *template, name="V")),
        f"GET {OBJECT}/virtualmachineinstances/V": (200, live) if running is not None else missing,
        LEASE: refusal(403, "Forbidden", "you cannot"),
    }
    for plural in ("virtualmachines", "virtualmachineinstances"):
        for what in ("addinterface", "removeinterface"):
            server.answers[f"PUT {PREFIX}/{plural}/V/{what}"] = ACCEPTED


ADD = ("add", "V", "--network", "lan", "--name", "blue")


@pytest.mark.parametrize("more", [(), ("--persist",)], ids=["VMI", "VM"])
def test_a_nic_that_is_there_was_requested_again(nicplug: CommandLine, server: PlayedServer, more: tuple[str]) -> None:
    serve(server, template=(BLUE,), running=(BLUE,))
    done = nicplug(*ADD, *more)
    assert (done.exit_code, done.stdout) == (0, 'NIC "blue" on network lan is already there\n')


def test_a_nic_that_only_one_of_them_has_is_requested(nicplug: CommandLine, server: PlayedServer) -> None:
    serve(server, template=(), running=(BLUE,))
    told = 'NIC "blue" on network lan requested for the template of V too; the guest has it already\n'
    assert nicplug(*ADD, "--persist").stdout == told
    serve(server, template=(BLUE,), running=())
    assert nicplug(*ADD).stdout == 'NIC "blue" on network lan requested for V\n'


def test_what_a_restart_does_to_a_new_nic(nicplug: CommandLine, server: PlayedServer) -> None:
    serve(server)
    then = "; it will be gone after a restart (use --persist to keep it)"
    assert nicplug(*ADD).stdout == f'NIC "blue" on network lan requested for V{then}\n'
    serve(server, running=None)
    assert nicplug(*ADD, "--persist").stdout == 'NIC "blue" on network lan requested for V; the VM starts with it\n'


def test_a_nic_that_the_template_never_had_was_said_to_come_back(nicplug: CommandLine, server: PlayedServer) -> None:
    serve(server, running=(BLUE,))
    assert nicplug("remove", "V", "blue").stdout == 'unplugging NIC "blue" from V\n'
    serve(server, template=(BLUE,), running=(BLUE,))
    assert "it comes back at a restart" in nicplug("remove", "V", "blue").stdout
    assert nicplug("remove", "V", "blue", "--persist").stdout == 'unplugging NIC "blue" from V and its template\n'
    serve(server, template=(BLUE,), running=None)
    assert nicplug("remove", "V", "blue", "--persist").stdout == 'removing NIC "blue" from the template of V\n'


def test_remove_recommended_virtctl(nicplug: CommandLine, server: PlayedServer) -> None:
    serve(server, template=(BLUE,), running=(BLUE,))
    said = 'the template of VirtualMachine "V" has NIC "blue", and would bring it back'
    answer = refusal(
        409,
        "Conflict",
        f"{said}: virtctl removeinterface V --name blue --persist --namespace s1",
        hint=Hint.REMOVE_FROM_TEMPLATE,
    )
    server.answers[f"PUT {PREFIX}/virtualmachineinstances/V/removeinterface"] = answer
    done = nicplug("remove", "V", "blue")
    assert done.exit_code == 7
    assert done.stderr == f"Error: {said}\n  nicplug remove V blue --persist --namespace default\n"
    words = nicplug("removeinterface", "V", "--name", "blue")
    assert "virtctl removeinterface V --name blue --persist --namespace s1" in words.stderr


@pytest.mark.parametrize("more", [(), ("--persist",)], ids=["VMI", "VM"])
@pytest.mark.parametrize("works", [True, False], ids=["an operator works", "none does"])
def test_an_addition_behind_a_removal_was_refused_without_a_remedy(
    nicplug: CommandLine, server: PlayedServer, more: tuple[str, ...], works: bool
) -> None:
    serve(server, template=(BLUE,), running=(BLUE,))
    if not works:
        server.answers[LEASE] = refusal(404, "NotFound", "no lease")
    answer = refusal(409, "Conflict", "the NIC is unplugged first; in other words", hint=Hint.WAIT_UNTIL_GONE)
    for plural in ("virtualmachines", "virtualmachineinstances"):
        server.answers[f"PUT {PREFIX}/{plural}/V/addinterface"] = answer
    done = nicplug(*ADD, *more)
    told = "the NIC is unplugged first; in other words"
    wait = "Wait for that: nicplug wait V blue --for gone --namespace default."
    nobody = "" if works else " Nothing happens now, as no nicplug operator works: "
    assert done.exit_code == 7
    assert done.stderr.startswith(f"Error: {told}\n  {wait}{nobody}")
    assert works == done.stderr.endswith(f"{wait}\n")


def test_a_vm_was_to_be_stopped_first_without_a_command(nicplug: CommandLine, server: PlayedServer) -> None:
    serve(server, template=(BLUE,), running=(BLUE,))
    answer = refusal(409, "Conflict", "only a bridge NIC can. Stop the VM first, or not")
    server.answers[f"PUT {PREFIX}/virtualmachineinstances/V/removeinterface"] = answer
    done = nicplug("remove", "V", "blue")
    assert (done.exit_code, done.stderr) == (
        7,
        "Error: only a bridge NIC can. Stop the VM first (nicplug stop V --namespace default), or not\n",
    )


def test_another_conflict_is_said_as_it_is(nicplug: CommandLine, server: PlayedServer) -> None:
    serve(server, running=(BLUE,))
    server.answers[f"PUT {PREFIX}/virtualmachineinstances/V/removeinterface"] = refusal(409, "Conflict", "another one")
    done = nicplug("remove", "V", "blue")
    assert (done.exit_code, done.stderr) == (7, "Error: another one\n")


@pytest.mark.parametrize("arguments", [ADD, ("remove", "V", "blue")], ids=["add", "remove"])
def test_a_gate_that_is_off_was_told_without_a_remedy(
    nicplug: CommandLine, server: PlayedServer, arguments: tuple[str, ...]
) -> None:
    """And to one who removes as to one who adds."""
    serve(server, running=(BLUE,))
    said = 'Unable to Add Interface because the "HotplugNICs" feature gate is not enabled.'
    for what in ("addinterface", "removeinterface"):
        server.answers[f"PUT {PREFIX}/virtualmachineinstances/V/{what}"] = refusal(400, "BadRequest", said)
    done = nicplug(*arguments)
    assert done.exit_code == 7
    assert "Unable to Add" not in done.stderr
    assert "lists it in spec.configuration.developerConfiguration.featureGates of the KubeVirt object" in done.stderr


NAD = "GET /apis/k8s.cni.cncf.io/v1/namespaces/default/network-attachment-definitions/lan"


def test_a_network_that_is_not_there_was_not_mentioned(nicplug: CommandLine, server: PlayedServer) -> None:
    serve(server)
    server.answers[NAD] = refusal(404, "NotFound", 'network-attachment-definitions "lan" not found')
    done = nicplug(*ADD)
    assert done.exit_code == 0
    assert "there is no NetworkAttachmentDefinition default/lan: the NIC waits" in done.stderr


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (refusal(404, "NotFound", "not found"), "there is no NetworkAttachmentDefinition default/lan\n  Create it. If"),
        ((200, {"metadata": {"name": "lan"}, "spec": {"config": "{"}}), "can attach nothing ("),
    ],
    ids=["missing", "not valid"],
)
def test_add_wait_of_a_stopped_vm_ended_well_without_a_network(
    nicplug: CommandLine, server: PlayedServer, answer: tuple[int, dict[str, object]], told: str
) -> None:
    serve(server, running=None)
    server.answers[NAD] = answer
    done = nicplug(*ADD, "--persist", "--wait")
    assert (done.exit_code, done.stdout) == (9, 'NIC "blue" on network lan requested for V\n')
    assert done.stderr.startswith('Error: NIC "blue" does not come when VM V starts: ')
    assert told in done.stderr
    noted = nicplug(*ADD, "--persist")
    assert (noted.exit_code, noted.stderr.startswith("Note: ")) == (0, True)


def test_add_wait_of_a_stopped_vm_has_nothing_to_wait_for(nicplug: CommandLine, server: PlayedServer) -> None:
    serve(server, running=None)
    server.answers[NAD] = (200, {"metadata": {"name": "lan"}})
    done = nicplug(*ADD, "--persist", "--wait")
    assert (done.exit_code, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "answer", [(200, {"metadata": {"name": "lan"}}), refusal(403, "Forbidden", "you cannot")], ids=["there", "unread"]
)
def test_a_network_that_may_be_there_is_not_mentioned(
    nicplug: CommandLine, server: PlayedServer, answer: tuple[int, dict[str, object]]
) -> None:
    serve(server)
    server.answers[NAD] = answer
    assert nicplug(*ADD).stderr == ""


@pytest.mark.parametrize("name", ["", "a b", "a.b", "x" * 129])
def test_a_name_that_no_nic_may_have_was_sent(nicplug: CommandLine, server: PlayedServer, name: str) -> None:
    serve(server)
    done = nicplug("add", "V", "--network", "lan", "--name", name)
    assert (done.exit_code, server.requests) == (2, [])
    assert "Use 1 to 128 letters, digits, dashes or underscores." in " ".join(done.stderr.split())


@pytest.mark.parametrize(
    ("network", "told"),
    [("", "a name is missing."), ("x" * 300, f'"{"x" * 80}..." is not a name.'), ("a/b/c", '"a/b/c" is not a name.')],
    ids=["empty", "long", "no reference"],
)
def test_a_network_that_can_never_be_was_refused_by_the_server(
    nicplug: CommandLine, server: PlayedServer, network: str, told: str
) -> None:
    serve(server)
    done = nicplug("add", "V", "--network", network)
    assert (done.exit_code, server.requests) == (2, [])
    assert f"Error: Invalid value for '--network': {told}" in done.stderr


def test_a_long_name_was_cut_without_a_mark(nicplug: CommandLine) -> None:
    done = nicplug("add", "V", "--network", "lan", "--name", "x" * 300)
    assert f'name "{"x" * 80}..." is not valid' in done.stderr


NADS = NAD.removesuffix("/lan")


@pytest.mark.parametrize(
    ("names", "asked", "more"),
    [(["lans", "other"], " (did you mean lans?)", ("--persist",)), (["other"], "", ()), (None, "", ())],
    ids=["a similar one", "none that is similar", "they may not be listed"],
)
def test_the_remedy_for_a_misspelt_network(
    nicplug: CommandLine, server: PlayedServer, names: list[str] | None, asked: str, more: tuple[str, ...]
) -> None:
    serve(server)
    server.answers[NAD] = refusal(404, "NotFound", 'network-attachment-definitions "lan" not found')
    listed = collection(*({"metadata": {"name": name}} for name in names or ()))
    server.answers[NADS] = listed if names is not None else refusal(403, "Forbidden", "you cannot")
    persist = " --persist" if more else ""
    assert nicplug(*ADD, *more).stderr == (
        "Note: there is no NetworkAttachmentDefinition default/lan: the NIC waits until it is created. "
        f'If "lan" is the wrong name{asked}, remove the NIC '
        f"(nicplug remove V blue{persist} --namespace default) and add it again\n"
    )


def test_a_nic_that_is_only_requested_was_said_not_to_exist(nicplug: CommandLine, server: PlayedServer) -> None:
    serve(server)
    asked = {"addInterfaceOptions": {"name": "late", "networkAttachmentDefinitionName": "lan"}}
    asking = vm(primary(), name="V", status={"interfaceRequests": [asked]})
    server.answers |= {
        f"GET {OBJECT}/virtualmachines/V": (200, asking),
        LEASE: refusal(404, "NotFound", "no lease"),
    }
    done = nicplug("remove", "V", "late", "--persist")
    assert done.exit_code == 7
    assert 'NIC "late" of VM V is requested but not added yet: a pending request cannot be withdrawn' in done.stderr
    assert "nicplug status V --namespace default" in done.stderr
    assert "no nicplug operator works" in done.stderr
    assert not server.put()
    assert nicplug("remove", "V", "other", "--persist").exit_code == 3
