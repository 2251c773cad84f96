"""A stopped VM and a VMI without a VM were reported as not found, with the advice to look in another namespace."""

import pytest
from tests.build import kubevirt, primary, vm, vmi
from tests.unit.cli.played import CommandLine, PlayedServer, collection, refusal

OBJECT = "/apis/kubevirt.io/v1/namespaces/default"
PREFIX = "/apis/subresources.kubevirt.io/v1/namespaces/default"
N = "--network-attachment-definition-name"
NO_VM = refusal(404, "NotFound", 'virtualmachine.kubevirt.io "V" not found')
NO_VMI = refusal(404, "NotFound", 'virtualmachineinstance.kubevirt.io "V" not found')
VM, VMI = f"GET {OBJECT}/virtualmachines/V", f"GET {OBJECT}/virtualmachineinstances/V"
ADD = ["addinterface", "V", N, "lan", "--name", "blue"]
REMOVE = ["removeinterface", "V", "--name", "blue"]


@pytest.fixture
def stopped(server: PlayedServer) -> None:
    """A VM without its VMI."""
    server.answers |= {VM: (200, vm(primary(), name="V")), VMI: NO_VMI}
    server.answers |= {f"PUT {PREFIX}/virtualmachineinstances/V/{item[0]}": NO_VMI for item in (ADD, REMOVE)}
    server.answers[f"PUT {PREFIX}/virtualmachines/V/migrate"] = NO_VMI


@pytest.fixture
def bare(server: PlayedServer) -> None:
    """A VMI that belongs to no VM."""
    server.answers |= {VM: NO_VM, VMI: (200, vmi(primary(), name="V"))}
    names = ("addinterface", "removeinterface", "start", "stop", "restart", "migrate")
    server.answers |= {f"PUT {PREFIX}/virtualmachines/V/{name}": NO_VM for name in names}


@pytest.mark.usefixtures("stopped")
@pytest.mark.parametrize(
    ("arguments", "code", "remedy"),
    [
        (ADD, 1, "Use --persist"),
        (REMOVE, 1, "Use --persist"),
        (["migrate", "V"], 7, "Start it first: nicplug start V --"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_stopped_vm_was_not_found(nicplug: CommandLine, arguments: list[str], code: int, remedy: str) -> None:
    done = nicplug(*arguments)
    assert done.exit_code == code
    assert "VM V is not running" in done.stderr
    assert remedy in done.stderr
    assert "in namespace" not in done.stderr


@pytest.mark.usefixtures("stopped")
@pytest.mark.parametrize(("arguments", "how"), [(ADD, "with"), (REMOVE, "without")], ids=["add", "remove"])
def test_virtctls_names_print_the_servers_words_first(nicplug: CommandLine, arguments: list[str], how: str) -> None:
    """As virtctl does; what to do follows on lines of its own."""
    assert nicplug(*arguments).stderr.splitlines() == [
        'virtualmachineinstance.kubevirt.io "V" not found',
        "VM V is not running",
        f"Use --persist: the template is changed, and the VM starts {how} the NIC.",
    ]


@pytest.mark.usefixtures("bare")
@pytest.mark.parametrize(
    ("arguments", "code", "remedy"),
    [
        ([*ADD, "--persist"], 1, "Leave --persist out"),
        ([*REMOVE, "--persist"], 1, "Leave --persist out"),
        (["migrate", "V"], 7, "VirtualMachineInstanceMigration with spec.vmiName: V"),
        (["stop", "V"], 7, "kubectl delete vmi V -n default"),
        (["restart", "V"], 7, "Only a VirtualMachine can be restarted"),
        (["start", "V"], 7, "It was started when it was created"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_vmi_without_a_vm_was_not_found(nicplug: CommandLine, arguments: list[str], code: int, remedy: str) -> None:
    done = nicplug(*arguments)
    assert done.exit_code == code
    assert "V is a VirtualMachineInstance that belongs to no VirtualMachine" in done.stderr
    assert remedy in done.stderr


def test_nothing_of_that_name_is_said_of_both_kinds(nicplug: CommandLine, server: PlayedServer) -> None:
    server.answers |= {VM: NO_VM, VMI: NO_VMI, f"PUT {PREFIX}/virtualmachines/V/migrate": NO_VM}
    done = nicplug("migrate", "V")
    assert done.exit_code == 3
    assert 'no VirtualMachine and no VirtualMachineInstance "V" in namespace default' in done.stderr
    assert "Use --namespace NAME to look in another namespace." in done.stderr


def test_who_may_not_read_them_gets_the_servers_answer(nicplug: CommandLine, server: PlayedServer) -> None:
    forbidden = refusal(403, "Forbidden", 'User "alice" cannot get resource')
    server.answers |= {VM: forbidden, VMI: forbidden, f"PUT {PREFIX}/virtualmachines/V/migrate": NO_VMI}
    assert nicplug("migrate", "V").exit_code == 3


@pytest.fixture
def others(server: PlayedServer) -> None:
    """No VM of that name, but a VM and an instance of others."""
    server.answers |= {
        f"GET {OBJECT}/virtualmachines/vm-fedor": NO_VM,
        f"GET {OBJECT}/virtualmachineinstances/vm-fedor": NO_VMI,
        f"GET {OBJECT}/virtualmachines": collection(vm(primary(), name="vm-fedora")),
        f"GET {OBJECT}/virtualmachineinstances": collection(vmi(primary(), name="other")),
        f"PUT {PREFIX}/virtualmachines/vm-fedor/start": NO_VM,
        "GET /api/v1/namespaces/default": (200, {"metadata": {"name": "default"}}),
        "GET /apis/kubevirt.io/v1/namespaces/kubevirt/kubevirts": collection(kubevirt()),
        f"GET {OBJECT}/virtualmachineinstancemigrations": collection(),
    }


COMMANDS = [["status"], ["start"], ["add", "--network", "lan"], ["remove", "blue"], ["wait"], ["plan"], ["why"]]


@pytest.mark.usefixtures("others")
@pytest.mark.parametrize("arguments", COMMANDS, ids=lambda value: str(value[0]))
def test_a_misspelt_vm(nicplug: CommandLine, server: PlayedServer, arguments: list[str]) -> None:
    command, *rest = arguments
    done = nicplug(command, "vm-fedor", *rest)
    assert done.exit_code == 3
    assert done.stderr == (
        'Error: no VirtualMachine and no VirtualMachineInstance "vm-fedor" in namespace default\n'
        "  Did you mean vm-fedora? Use --namespace NAME to look in another namespace.\n"
    )
    server.answers[f"GET {OBJECT}/virtualmachines"] = refusal(403, "Forbidden", "you cannot list")
    done = nicplug(command, "vm-fedor", *rest)
    assert (done.exit_code, "Did you mean" in done.stderr) == (3, False)


@pytest.mark.usefixtures("others")
@pytest.mark.parametrize("arguments", [["status"], ["status", "vm-fedor"], ["start", "vm-fedor"]], ids=" ".join)
def test_a_namespace_that_does_not_exist_was_one_without_vms(
    nicplug: CommandLine, server: PlayedServer, arguments: list[str]
) -> None:
    server.answers[f"GET {OBJECT}/virtualmachines"] = collection()
    server.answers[f"GET {OBJECT}/virtualmachineinstances"] = collection()
    server.answers["GET /api/v1/namespaces/default"] = refusal(404, "NotFound", 'namespaces "default" not found')
    done = nicplug(*arguments)
    assert done.exit_code == 3
    assert done.stderr == (
        'Error: namespace "default" does not exist\n'
        "  Create it (kubectl create namespace default), or correct --namespace.\n"
    )
    server.answers["GET /api/v1/namespaces/default"] = refusal(403, "Forbidden", 'User "a" cannot get it')
    assert "in namespace default" in nicplug(*arguments).output
