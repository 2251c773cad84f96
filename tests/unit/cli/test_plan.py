"""`nicplug plan` against a played API server: manifests, and what is said of several changes at once."""

import copy
import json
from typing import Any

import pytest
from tests.build import absent, kubevirt, nad, nic, primary, row, vm, vmi
from tests.unit.cli.played import CommandLine, PlayedServer, collection, refusal

from nicplug.cli.exits import Exit
from nicplug.cli.plan_document import PlanDocument

Json = dict[str, Any]
KUBEVIRT = "/apis/kubevirt.io/v1"


@pytest.fixture(autouse=True)
def _cluster(server: PlayedServer) -> None:
    """Everything may be read; there are no VMs."""
    server.answers |= {
        f"GET {KUBEVIRT}/namespaces/kubevirt/kubevirts": collection(kubevirt()),
        "GET /api/v1/nodes": collection(),
        "GET /apis/apps/v1/namespaces/kube-system/daemonsets": collection(),
        "GET /api/v1/namespaces/kube-system/configmaps": collection(),
    }
    for namespace in ("default", "nosuch"):
        server.answers |= {
            f"GET {KUBEVIRT}/namespaces/{namespace}/virtualmachineinstancemigrations": collection(),
            f"GET /api/v1/namespaces/{namespace}/pods": collection(),
            f"GET /apis/apps/v1/namespaces/{namespace}/controllerrevisions": collection(),
        }


MANIFEST = json.dumps({"kind": "VirtualMachine", "metadata": {"name": "V", "namespace": "nosuch"}, "spec": {}})


def test_a_misspelt_field_was_named_behind_the_whole_object(nicplug: CommandLine, server: PlayedServer) -> None:
    whole = '{"metadata":{"managedFields":[]}}'
    fields = 'unknown field "spec.modell", unknown field "spec.nam"'
    told = f' "" is invalid: patch: Invalid value: "{whole}": strict decoding error: {fields}'
    vms = "/apis/kubevirt.io/v1/namespaces/nosuch/virtualmachines"
    server.answers |= {
        f"GET {vms}/V": (200, {"metadata": {"name": "V"}}),
        f"PATCH {vms}/V": refusal(422, "Invalid", told),
        "GET /apis/kubevirt.io/v1/namespaces/nosuch/virtualmachineinstances/V": refusal(404, "NotFound", "no"),
    }
    done = nicplug("plan", "-f", "-", stdin=MANIFEST)
    assert done.exit_code == Exit.WRONG_USE, done.output
    assert done.stderr.startswith(f"Error: VirtualMachine V: {fields}\n")
    assert "managedFields" not in done.stderr


def test_a_missing_namespace_was_to_be_searched_elsewhere(nicplug: CommandLine, server: PlayedServer) -> None:
    vms, gone = "/apis/kubevirt.io/v1/namespaces/nosuch/virtualmachines", refusal(404, "NotFound", '"V" not found')
    server.answers |= {
        f"GET {vms}/V": gone,
        "GET /apis/kubevirt.io/v1/namespaces/nosuch/virtualmachineinstances/V": gone,
        f"POST {vms}": refusal(404, "NotFound", 'namespaces "nosuch" not found'),
    }
    done = nicplug("plan", "-f", "-", stdin=MANIFEST)
    assert done.exit_code == Exit.NOT_FOUND, done.output
    assert 'Error: namespace "nosuch" does not exist\n  Create it (kubectl create namespace nosuch)' in done.stderr
    assert "Searched" not in done.stderr


VM, VMI = (
    f"GET {KUBEVIRT}/namespaces/default/virtualmachines/V",
    f"GET {KUBEVIRT}/namespaces/default/virtualmachineinstances/V",
)
GONE = refusal(404, "NotFound", '"V" not found')
NADS = "/apis/k8s.cni.cncf.io/v1/namespaces/default/network-attachment-definitions"


@pytest.fixture
def _stopped(server: PlayedServer) -> None:
    server.answers |= {VM: (200, vm(primary(), name="V")), VMI: GONE, f"GET {NADS}/lan": (200, nad("lan"))}


@pytest.mark.usefixtures("_stopped")
def test_removing_a_nic_that_does_not_exist_changed_nothing(nicplug: CommandLine) -> None:
    done = nicplug("plan", "V", "--remove", "nothere", "--persist")
    assert (done.exit_code, done.stdout) == (Exit.NOT_FOUND, "")
    assert done.stderr == 'Error: VM V has no NIC "nothere"\n  It has: default.\n'


@pytest.mark.usefixtures("_stopped")
def test_a_stopped_vm_had_no_vmi_to_change(nicplug: CommandLine) -> None:
    """`add` says the same; the code is that of what a plan finds refused."""
    done = nicplug("plan", "V", "--add", "lan")
    assert done.exit_code == Exit.NO, done.output
    assert (
        "refused: VM V is not running. Add --persist: that changes the template, from which the VM starts"
        in done.stdout
    )
    assert "Error: VM V is not running\n  Add --persist" in nicplug("add", "V", "--network", "lan").stderr
    assert json.loads(nicplug("plan", "V", "--add", "lan", "-o", "json").stdout)["arrives"] is False


@pytest.mark.usefixtures("_stopped")
def test_what_is_no_reference_was_wrong_use(nicplug: CommandLine) -> None:
    done = nicplug("plan", "V", "--add", "x=default/b/c", "--persist")
    assert done.exit_code == Exit.NO, done.output
    assert "refused: " in done.stdout
    assert '"default/b/c" is not a name' in done.stdout


@pytest.mark.usefixtures("_stopped")
def test_why_hid_that_the_network_of_a_stopped_vm_is_missing(nicplug: CommandLine, server: PlayedServer) -> None:
    server.answers[VM] = (200, vm(primary(), nic("blue", attachment="lan"), name="V", run_strategy="Halted"))
    server.answers["GET /api/v1/namespaces/default/events"] = collection()
    assert "why        GuestNotRunning\n" in nicplug("why", "V", "blue").stdout
    server.answers[f"GET {NADS}/lan"] = refusal(404, "NotFound", 'network-attachment-definitions "lan" not found')
    told = nicplug("why", "V", "blue").stdout
    assert 'NIC "blue" on lan: Plug Blocked\n' in told
    assert (
        "NetworkAttachmentDefinitionMissing: the guest is not running, and does not get this NIC when it starts: "
        "network attachment definition default/lan does not exist\n"
    ) in told
    assert "waits for  the VM's owner\n" in told
    assert "(nicplug remove V blue --persist --namespace default)" in told


@pytest.mark.usefixtures("_stopped")
def test_a_plan_knew_less_of_what_to_do_than_why(nicplug: CommandLine, server: PlayedServer) -> None:
    server.answers |= {
        VM: (200, vm(primary(), nic("blue", attachment="lan"), name="V", run_strategy="Halted")),
        "GET /api/v1/namespaces/default/events": collection(),
        f"GET {NADS}/lan": refusal(404, "NotFound", 'network-attachment-definitions "lan" not found'),
        f"GET {NADS}": collection({"metadata": {"name": "lans"}}),
    }
    [story], [planned] = (
        [json.loads(nicplug(*words, "-o", "json").stdout)] for words in (("why", "V", "blue"), ("plan", "V"))
    )
    assert planned["nics"][0]["remedy"] == story["todo"]
    assert "(did you mean lans?)" in story["todo"]
    thought = vm(
        primary(), nic("blue", attachment="lan"), nic("red", attachment="lan"), name="V", run_strategy="Halted"
    )
    server.answers[VM.replace("GET", "PATCH")] = (200, thought)
    thought_of = nicplug("plan", "V", "--add", "red=lan", "--persist")
    assert 'If "lan" is the wrong name, did you mean lans?\n' in thought_of.stdout


def test_a_plan_to_remove_recommended_virtctl(nicplug: CommandLine, server: PlayedServer) -> None:
    body = vm(primary(), nic("red", attachment="lan"), name="V")
    rows = [row("default", "domain"), row("red", "domain", "multus-status")]
    running = vmi(primary(), nic("red", attachment="lan"), name="V", rows=rows, owner_uid=body["metadata"]["uid"])
    server.answers |= {VM: (200, body), VMI: (200, running), f"GET {NADS}/lan": (200, nad("lan"))}
    told = nicplug("plan", "V", "--remove", "red").stdout
    assert "would bring it back: nicplug remove V red --persist --namespace default\n" in told
    assert "virtctl" not in told


@pytest.mark.usefixtures("_stopped")
def test_the_names_of_a_refused_plan_were_nothing_at_all(nicplug: CommandLine) -> None:
    done = nicplug("plan", "V", "--add", "lan", "-o", "name")
    assert (done.exit_code, done.stdout) == (Exit.NO, "")
    assert done.stderr == (
        "Error: refused: VM V is not running. Add --persist: that changes the template, from which the VM starts\n"
    )


@pytest.mark.parametrize("addition", ["", "x="])
def test_an_addition_without_a_network_was_refused_in_words_of_the_api(
    nicplug: CommandLine, server: PlayedServer, addition: str
) -> None:
    done = nicplug("plan", "V", "--add", addition)
    assert (done.exit_code, server.requests) == (Exit.WRONG_USE, [])
    assert "Invalid value for '--add'" in done.stderr


@pytest.mark.parametrize("primary_nic", [True, False], ids=["primary", "secondary"])
def test_a_mac_address_that_is_none_was_not_noticed_in_a_manifest(
    nicplug: CommandLine, server: PlayedServer, primary_nic: bool
) -> None:
    body = vm(primary(), nic("red", attachment="lan"), name="V")
    wrong = copy.deepcopy(body)
    nics = wrong["spec"]["template"]["spec"]["domain"]["devices"]["interfaces"]
    nics[0 if primary_nic else 1]["macAddress"] = "zz"
    rows = [row("default", "domain"), row("red", "domain", "multus-status")]
    running = vmi(primary(), nic("red", attachment="lan"), name="V", rows=rows, owner_uid=body["metadata"]["uid"])
    server.answers |= {
        VM: (200, body),
        VMI: (200, running),
        VM.replace("GET", "PATCH"): (200, wrong),
        f"GET {NADS}/lan": (200, nad("lan")),
    }
    done = nicplug("plan", "-f", "-", stdin=json.dumps(wrong))
    assert done.exit_code == Exit.NO, done.output
    assert 'InvalidMacAddress: macAddress "zz" is not a unicast address of six bytes' in done.stdout


@pytest.mark.parametrize(
    ("manifest", "code", "told", "remedy"),
    [
        ("{:", Exit.WRONG_USE, "- is not YAML: ", "Give a manifest in YAML or JSON."),
        ("kind: Pod", Exit.WRONG_USE, "- has no VirtualMachine", "Give a manifest that has one"),
        ("kind: VirtualMachine", Exit.WRONG_USE, "a VirtualMachine has no metadata.name", "Name it: "),
        (None, Exit.NOT_FOUND, "/nowhere/vm.yaml cannot be read: ", "Give the path of a manifest, or - for stdin."),
    ],
    ids=["no YAML", "no VM", "no name", "no file"],
)
def test_a_manifest_that_cannot_be_used_had_no_remedy(
    nicplug: CommandLine, server: PlayedServer, manifest: str | None, code: Exit, told: str, remedy: str
) -> None:
    done = nicplug("plan", "-f", "-" if manifest is not None else "/nowhere/vm.yaml", stdin=manifest)
    assert done.exit_code == code, done.output
    first, second, *_ = done.stderr.splitlines()
    assert first.startswith("Error: ")
    assert told in first
    assert second.startswith(f"  {remedy}")
    assert server.requests == []


def test_a_vm_and_a_manifest_together_are_named_as_the_mistake(nicplug: CommandLine, server: PlayedServer) -> None:
    done = nicplug("plan", "V", "-f", "x")
    assert (done.exit_code, "not both" in done.stderr) == (Exit.WRONG_USE, True)
    assert server.requests == []


@pytest.mark.parametrize(("output", "between"), [("table", "\n\nVirtualMachine"), ("yaml", "\n---\napiVersion")])
def test_two_vms_of_a_manifest_ran_into_each_other(
    nicplug: CommandLine, server: PlayedServer, output: str, between: str
) -> None:
    vms = f"{KUBEVIRT}/namespaces/default/virtualmachines"
    for name in "ab":
        gone = refusal(404, "NotFound", f'"{name}" not found')
        server.answers |= {f"GET {vms}/{name}": gone}
        server.answers[f"GET {KUBEVIRT}/namespaces/default/virtualmachineinstances/{name}"] = gone
    server.answers[f"POST {vms}"] = lambda request: (201, json.loads(request.body))
    items = [vm(primary(), name=name, uid=name) for name in "ab"]
    done = nicplug("plan", "-f", "-", "-o", output, stdin=json.dumps({"kind": "List", "items": items}))
    assert done.exit_code == 0, done.output
    assert done.stdout.count(between) == 1


def test_removing_a_nic_that_never_attached_was_said_to_change_nothing(
    nicplug: CommandLine, server: PlayedServer
) -> None:
    nics = (primary(), nic("red"))
    body = vm(*nics, name="V")
    running = vmi(*nics, name="V", rows=[row("default", "domain")], owner_uid=body["metadata"]["uid"])
    definition = "/apis/k8s.cni.cncf.io/v1/namespaces/default/network-attachment-definitions/red-net"
    changed = vm(primary(), absent("red"), name="V")
    server.answers |= {
        VM: (200, body),
        VMI: (200, running),
        VM.replace("GET", "PATCH"): (200, changed),
        f"GET {definition}": refusal(404, "NotFound", '"red-net" not found'),
    }
    done = nicplug("plan", "V", "--remove", "red", "--persist")
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[2:4] == [
        'unplug NIC "red" on default/red-net (bridge): at once, as the running guest never had it',
        "  why          NeverAttached: leaves the template and the instance; "
        "the running guest never had it and is not touched",
    ]


def test_names_have_the_word_of_status_for_the_path() -> None:
    outcomes = ["InPlace", "ByMigration", "NeedsRestart", "AtStart", "Stuck"]
    document = PlanDocument({"nics": [{"name": "blue", "outcome": item} for item in outcomes]}, "api")
    assert document.names() == [
        "blue=Dynamic",
        "blue=Migration",
        "blue=Restart",
        "blue=AtStart",
        "blue=Stuck",
    ]


def test_a_plan_of_nothing_says_that_a_name_alone_is_enough(nicplug: CommandLine) -> None:
    done = nicplug("plan")
    assert done.exit_code == 2
    assert "Give either the name of a VM, alone or with --add and --remove, or a manifest" in done.stderr
