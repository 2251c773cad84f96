"""What a VM and a VMI answer to addinterface and removeinterface, and which patch is sent (KubeVirt 1.0, 1.0.0-rc.0).

Where KubeVirt answers 202 and drops a request in silence, 409 with the reason.
"""

import copy
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from tests.build import (
    EVERY_NAMESPACE,
    NAME,
    NAMESPACE,
    VM_UID,
    Json,
    Nic,
    a_vm,
    a_vmi,
    absent,
    known_attachments,
    nad,
    nic,
    operation,
    primary,
    primary_row,
    row,
    vm,
    vmi,
)
from tests.fakes.patches import JSON_PATCH, patched

from nicplug.model.nad_policy import AttachmentAccess
from nicplug.model.operations import shortened
from nicplug.model.requests import AddInterface, RemoveInterface
from nicplug.plan.actions import Create, JsonPatch
from nicplug.plan.nic.requested import Hint
from nicplug.plan.subresources.answers import ACCEPTED, Answer, in_order
from nicplug.plan.subresources.interfaces import Evidence, ask_vm, ask_vmi

ADD_BLUE, REMOVE_BLUE = AddInterface(name="blue", network="blue-net"), RemoveInterface(name="blue")
ADD_ROW = {"addInterfaceOptions": {"networkAttachmentDefinitionName": "blue-net", "name": "blue"}}
REMOVE_ROW = {"removeInterfaceOptions": {"name": "blue"}}
KNOWN = known_attachments(None)
VM_CONFLICT = f'Operation cannot be fulfilled on virtualmachine.kubevirt.io "{NAME}": '
VMI_CONFLICT = f'Operation cannot be fulfilled on virtualmachineinstance.kubevirt.io "{NAME}": '
ACCESS = AttachmentAccess(shared=frozenset(), rule="nadPolicy SameNamespace (the default)")


def machine(*nics: Nic, pending: Sequence[Any] | None = None) -> Json:
    """A VM with these requests."""
    return vm(primary(), *nics, status={"interfaceRequests": list(pending)} if pending is not None else {})


def instance(*nics: Nic, **members: Any) -> Json:
    """The VMI of the VM, with every NIC in its guest."""
    names = [item["name"] for item, _ in nics]
    rows = [primary_row(), *(row(name, "domain", "multus-status") for name in names)]
    return vmi(primary(), *nics, **{"rows": rows, "owner_uid": VM_UID, **members})


def evidence(raw: Json | None = None, found: Json | None = None, **members: Any) -> Evidence:
    return Evidence(
        vm=a_vm(raw) if raw is not None else None,
        vmi=a_vmi(found) if found is not None else None,
        **{"known": KNOWN, **members},
    )


def of_vm(request: Any, raw: Json | None, found: Json | None = None, **members: Any) -> Answer:
    return ask_vm(request, name=NAME, evidence=evidence(raw, found, **members))


def of_vmi(request: Any, found: Json | None, raw: Json | None = None, **members: Any) -> Answer:
    return ask_vmi(request, name=NAME, evidence=evidence(raw, found, **members))


def _patch_of(answer: Answer) -> JsonPatch:
    return in_order(answer.write) if answer.write is not None and not isinstance(answer.write, Create) else ()


def operations(answer: Answer) -> list[tuple[str, str]]:
    return [(item["op"], item["path"]) for item in _patch_of(answer)]


def applied(raw: Json, answer: Answer) -> Json:
    content = json.dumps([dict(item) for item in _patch_of(answer)]).encode()
    return patched(copy.deepcopy(raw), content_type=JSON_PATCH, content=content)


def reported(answer: Answer) -> tuple[int, str]:
    assert answer.write is None
    return answer.code, answer.message


class TestRecording:
    """The request goes to the end of the list in the VM's status."""

    @pytest.mark.parametrize(
        ("request_", "wanted"),
        [(ADD_BLUE, ADD_ROW), (REMOVE_BLUE, REMOVE_ROW)],
        ids=["add", "remove"],
    )
    @pytest.mark.parametrize("before", [None, [], [{"addInterfaceOptions": {"name": "red"}}]], ids=str)
    def test_it_is_added(self, request_: Any, wanted: Json, before: list[Json] | None) -> None:
        raw = machine(*([nic("blue")] if request_ is REMOVE_BLUE else []), pending=before)
        answer = of_vm(request_, raw)
        assert (answer.code, answer.message) == (202, "")
        assert operations(answer) == [
            ("test", "/metadata/uid"),
            ("test", "/status/interfaceRequests"),
            ("add", "/status/interfaceRequests"),
        ]
        assert _patch_of(answer)[1]["value"] == before
        assert applied(raw, answer)["status"]["interfaceRequests"] == [*(before or []), wanted]

    def test_a_vm_without_a_status_gets_one(self) -> None:
        raw = vm(primary())
        answer = of_vm(ADD_BLUE, raw)
        assert applied(raw, answer)["status"] == {"interfaceRequests": [ADD_ROW]}

    def test_no_such_vm(self) -> None:
        answer = of_vm(ADD_BLUE, None)
        assert reported(answer) == (404, f'virtualmachine.kubevirt.io "{NAME}" not found')
        assert answer.reason == "NotFound"

    def test_a_running_vm_is_not_asked_whether_its_network_exists(self) -> None:
        answer = of_vm(ADD_BLUE, machine(), instance(), known=known_attachments([]))
        assert (answer.code, answer.write is None) == (202, False)

    @pytest.mark.parametrize("found", [None, instance(deleting=True), instance(owner_uid="other")])
    def test_a_stopped_vm_lets_go_of_any_nic(self, found: Json | None) -> None:
        answer = of_vm(RemoveInterface(name="default"), machine(), found)
        assert (answer.code, answer.write is None) == (202, False)


EXISTING = 'cannot handle interface "blue" {} request because there is an existing {} request'


class TestPending:
    """What is pending for the name decides, as in KubeVirt; but a conflict is answered as one."""

    @pytest.mark.parametrize("found", [ADD_ROW, {"addInterfaceOptions": {**ADD_ROW["addInterfaceOptions"], "x": 1}}])
    def test_the_same_addition(self, found: Json) -> None:
        assert of_vm(ADD_BLUE, machine(pending=[found])) == ACCEPTED

    def test_the_same_removal(self) -> None:
        assert of_vm(REMOVE_BLUE, machine(nic("blue"), pending=[REMOVE_ROW])) == ACCEPTED

    def test_an_addition_behind_a_removal(self) -> None:
        answer = of_vm(ADD_BLUE, machine(nic("blue"), pending=[REMOVE_ROW]))
        then = ": the NIC is unplugged first; ask again when it is gone"
        assert reported(answer) == (409, VM_CONFLICT + EXISTING.format("add", "remove") + then)
        assert (answer.reason, answer.hint) == ("Conflict", Hint.WAIT_UNTIL_GONE)

    def test_a_removal_behind_an_addition(self) -> None:
        answer = of_vm(REMOVE_BLUE, machine(pending=[ADD_ROW]))
        then = ": the NIC is added first; ask again when it is there"
        assert reported(answer) == (409, VM_CONFLICT + EXISTING.format("remove", "add") + then)
        assert answer.hint is Hint.NONE

    def test_an_addition_of_another_network(self) -> None:
        """KubeVirt goes by the name alone."""
        answer = of_vm(replace(ADD_BLUE, network="other"), machine(pending=[ADD_ROW]))
        why = EXISTING.format("add", "add") + " for network attachment definition blue-net: use another name"
        assert reported(answer) == (409, VM_CONFLICT + why)

    def test_the_first_request_for_a_name_counts_and_rubbish_does_not(self) -> None:
        pending = ["x", {}, ADD_ROW, REMOVE_ROW]
        assert of_vm(ADD_BLUE, machine(pending=pending)) == ACCEPTED


class TestTemplate:
    """A NIC of a running VM is written into its template at once, where nothing is in front of it."""

    def test_it_is_added_to_what_is_there_as_it_was_read(self) -> None:
        raw = machine(nic("red"))
        answer = of_vm(ADD_BLUE, raw, instance(nic("red")))
        assert (answer.code, answer.message) == (202, "")
        networks, interfaces = (f"/spec/template/spec/{name}" for name in ("networks", "domain/devices/interfaces"))
        assert operations(answer) == [
            ("test", "/metadata/uid"),
            ("test", "/status/interfaceRequests"),
            ("test", networks),
            ("test", interfaces),
            ("add", networks),
            ("add", interfaces),
        ]
        after = applied(raw, answer)["spec"]["template"]["spec"]
        assert [item["name"] for item in after["networks"]] == ["default", "red", "blue"]
        assert after["domain"]["devices"]["interfaces"][-1] == {"name": "blue", "bridge": {}}

    @pytest.mark.parametrize(
        ("raw", "found", "is_staged"),
        [
            (machine(), None, False),
            (machine(), instance(phase="Scheduling"), False),
            (machine(), instance(), True),
            (machine(pending=[{"addInterfaceOptions": {"name": "red"}}]), instance(), False),
            (machine(absent("blue")), instance(), False),
            (machine(), instance(absent("blue")), False),
        ],
        ids=["stopped", "starting", "Stage", "one waits before it", "leaves the template", "leaves the guest"],
    )
    def test_else_the_request_is_recorded(self, raw: Json, found: Json | None, is_staged: bool) -> None:
        answer = of_vm(ADD_BLUE, raw, found, is_staged=is_staged)
        assert applied(raw, answer)["status"]["interfaceRequests"][-1] == ADD_ROW

    def test_a_removal_is_recorded(self) -> None:
        raw = machine(nic("blue"))
        answer = of_vm(REMOVE_BLUE, raw, instance(nic("blue")))
        assert applied(raw, answer)["status"]["interfaceRequests"] == [REMOVE_ROW]

    def test_what_the_template_has_and_the_guest_is_about_to_get_takes_a_slot(self) -> None:
        """Additions to a running VM went on in its template beyond the slots of the guest."""
        offered = [nic(f"nic{number}") for number in range(7)]
        assert reported(of_vm(ADD_BLUE, machine(*offered), instance()))[0] == 409
        assert of_vm(ADD_BLUE, machine(*offered), instance(), is_staged=True).code == 202


class TestNothingToDo:
    """202 without a write: all is as it was asked for."""

    def test_the_nic_is_there(self) -> None:
        assert of_vm(ADD_BLUE, machine(nic("blue")), instance(nic("blue"))) == ACCEPTED
        assert of_vm(replace(ADD_BLUE, network="default/blue-net"), machine(nic("blue"))) == ACCEPTED

    def test_the_guest_is_about_to_get_the_nic_of_the_template(self) -> None:
        assert of_vm(ADD_BLUE, machine(nic("blue")), instance()) == ACCEPTED

    def test_but_not_with_rollout_strategy_stage_or_while_one_of_that_name_leaves(self) -> None:
        assert of_vm(ADD_BLUE, machine(nic("blue")), instance(), is_staged=True).write is not None
        assert of_vm(ADD_BLUE, machine(nic("blue")), instance(absent("blue"))).write is not None

    def test_the_nic_is_gone_or_going(self) -> None:
        assert of_vm(REMOVE_BLUE, machine()) == ACCEPTED
        assert of_vm(REMOVE_BLUE, machine(absent("blue")), instance(absent("blue"))) == ACCEPTED

    def test_a_nic_of_the_vmi_alone_is_removed(self) -> None:
        assert of_vm(REMOVE_BLUE, machine(), instance(nic("blue"))).write is not None

    def test_a_nic_that_is_there_is_no_matter_of_policy(self) -> None:
        request = AddInterface(name="blue", network="red/blue-net")
        raw = machine(nic("blue", attachment="red/blue-net"))
        assert of_vm(request, raw, known=replace(KNOWN, access=ACCESS)) == ACCEPTED


def crowded(*, owner_uid: str | None = VM_UID) -> Json:
    """A guest that has all the NICs that it has slots for."""
    names = ("red", "green", "foo", "boo", "doo", "goo", "woo")
    operations = [operation(name, phase="Ready", reason="Attached") for name in names]
    return instance(*map(nic, names), operations=operations, owner_uid=owner_uid)


FULL = (
    'no free PCI slot for NIC "blue": the guest has at most 8 PCI slots for NICs, 8 taken (default, red, green, '
    "foo, boo, doo, goo, woo). Remove a NIC first; or "
)
NO_SLOT = f"{FULL}add this one to the template of the stopped VM, which starts with a slot for it"
NAME_TAKEN = (
    'NIC "blue" of {} is on network attachment definition default/blue-net, not default/other: '
    "use another name, or remove that NIC first"
)
NOT_UNPLUGGED = 'NIC "{}" cannot be taken out of a running guest: only a bridge NIC of a secondary network can. '
BY_TEMPLATE = "Stop the VM first, or delete the NIC's entries from its template and restart it"


class TestRefusedAtOnce:
    """What the objects at hand show to lead nowhere."""

    def test_a_name_that_another_network_has(self) -> None:
        answer = of_vm(replace(ADD_BLUE, network="other"), machine(nic("blue")))
        assert reported(answer) == (409, VM_CONFLICT + NAME_TAKEN.format("the VM's template"))

    def test_a_name_that_another_network_has_in_the_guest_alone(self) -> None:
        answer = of_vm(replace(ADD_BLUE, network="other"), machine(), instance(nic("blue")))
        assert reported(answer) == (409, VM_CONFLICT + NAME_TAKEN.format("the VMI"))

    def test_a_name_that_is_leaving_is_waited_for(self) -> None:
        """KubeVirt ends the request with no effect."""
        answer = of_vm(ADD_BLUE, machine(absent("blue")), instance(absent("blue")))
        assert (answer.code, answer.write is None) == (202, False)

    def test_no_free_slot_with_the_numbers(self) -> None:
        assert reported(of_vm(ADD_BLUE, machine(), crowded())) == (409, VM_CONFLICT + NO_SLOT)

    def test_requests_that_wait_take_a_slot_each(self) -> None:
        found = crowded()
        for part in (found["spec"]["domain"]["devices"]["interfaces"], found["spec"]["networks"]):
            part.pop()
        for member in ("interfaces", "interfaceOperations"):
            found["status"][member].pop()
        assert of_vm(ADD_BLUE, machine(), found).write is not None
        pending = [{"addInterfaceOptions": {"networkAttachmentDefinitionName": "x", "name": "x"}}]
        answer = of_vm(ADD_BLUE, machine(pending=pending), found)
        assert "doo, goo) and 1 on its way (x)" in reported(answer)[1]

    def test_a_network_that_does_not_exist_takes_no_slot(self) -> None:
        assert of_vm(ADD_BLUE, machine(), crowded(), known=known_attachments([nad("other")])).write is not None

    def test_a_stopped_vm_has_a_slot_for_every_nic(self) -> None:
        assert of_vm(ADD_BLUE, machine()).write is not None

    def test_a_network_of_a_namespace_that_is_not_shared(self) -> None:
        request = AddInterface(name="blue", network="red/lan")
        answer = of_vm(request, machine(), known=replace(KNOWN, access=ACCESS))
        assert reported(answer) == (
            403,
            f'virtualmachine.kubevirt.io "{NAME}" is forbidden: namespace default may not use network attachment '
            "definitions of namespace red, such as red/lan: nadPolicy SameNamespace (the default) allows those of "
            "default. Use one of these, or ask the cluster admin",
        )
        assert answer.reason == "Forbidden"

    @pytest.mark.parametrize("name", ["a/b", "..", "a%00", "x" * 300, "a\0b", "ä"])
    def test_a_bad_name(self, name: str) -> None:
        code, message = reported(of_vm(AddInterface(name=name, network="lan"), machine()))
        assert code == 422
        assert message.startswith(f'VirtualMachine.kubevirt.io "{NAME}" is invalid: name "{shortened(name)}" is not ')

    @pytest.mark.parametrize("network", ["a/b/c", "/lan", "red/", "LAN", '{"name": "lan"}', "lan@eth0", "lan,wan"])
    def test_a_bad_network(self, network: str) -> None:
        code, message = reported(of_vm(AddInterface(name="blue", network=network), machine()))
        assert (code, f'multus.networkName "{network}" is not a name' in message) == (422, True)

    def test_the_remedy_for_a_nic_that_a_running_guest_cannot_released_is_not_refused_by_the_api_server(self) -> None:
        """It was `state: absent` in the template, which admission refuses for such a NIC."""
        answer = of_vm(RemoveInterface(name="default"), machine(nic("blue")), instance(nic("blue")))
        assert reported(answer) == (409, VM_CONFLICT + NOT_UNPLUGGED.format("default") + BY_TEMPLATE)

    def test_the_remedy_for_the_only_nic_does_not_bring_another_one(self) -> None:
        answer = of_vm(RemoveInterface(name="default"), machine(), instance())
        more = "; with autoattachPodInterface: false, or the VM starts with another NIC on the pod network"
        assert reported(answer) == (409, VM_CONFLICT + NOT_UNPLUGGED.format("default") + BY_TEMPLATE + more)

    def test_a_nic_that_the_instance_alone_has_and_cannot_released_leaves_by_a_restart(self) -> None:
        fast = nic("fast", binding="sriov")
        answer = of_vm(RemoveInterface(name="fast"), machine(), instance(fast))
        remedy = "Restart the VM: its template does not have this NIC"
        assert reported(answer) == (409, VM_CONFLICT + NOT_UNPLUGGED.format("fast") + remedy)


BARE: Json = {"owner_uid": None}


class TestVmi:
    """Without --persist the VMI itself is changed."""

    def test_no_such_vmi(self) -> None:
        assert reported(of_vmi(ADD_BLUE, None)) == (404, f'virtualmachineinstance.kubevirt.io "{NAME}" not found')

    @pytest.mark.parametrize("phase", ["", "Pending", "Scheduling", "Scheduled", "Succeeded", "Failed"])
    def test_not_running(self, phase: str) -> None:
        answer = of_vmi(ADD_BLUE, instance(phase=phase, **BARE))
        assert reported(answer) == (409, VMI_CONFLICT + "VMI is not running")

    def test_an_added_nic_and_the_order_of_the_operations(self) -> None:
        found = instance(**BARE)
        answer = of_vmi(ADD_BLUE, found)
        assert operations(answer) == [
            ("test", "/metadata/uid"),
            ("test", "/spec/networks"),
            ("test", "/spec/domain/devices/interfaces"),
            ("add", "/spec/networks"),
            ("add", "/spec/domain/devices/interfaces"),
        ]
        spec = applied(found, answer)["spec"]
        assert spec["domain"]["devices"]["interfaces"][-1] == {"name": "blue", "bridge": {}}
        assert spec["networks"][-1] == {"name": "blue", "multus": {"networkName": "blue-net"}}

    def test_a_removed_nic_is_absent_and_its_network_stays(self) -> None:
        found = instance(nic("blue"), **BARE)
        spec = applied(found, of_vmi(REMOVE_BLUE, found))["spec"]
        assert spec["domain"]["devices"]["interfaces"][-1] == {"name": "blue", "bridge": {}, "state": "absent"}
        assert spec["networks"] == found["spec"]["networks"]

    def test_nothing_to_do(self) -> None:
        assert of_vmi(ADD_BLUE, instance(nic("blue"), **BARE)) == ACCEPTED
        assert of_vmi(REMOVE_BLUE, instance(**BARE)) == ACCEPTED
        assert of_vmi(REMOVE_BLUE, instance(absent("blue"), **BARE)) == ACCEPTED

    def test_a_name_that_another_network_has(self) -> None:
        """KubeVirt answers 202, and does nothing."""
        answer = of_vmi(replace(ADD_BLUE, network="other"), instance(nic("blue"), **BARE))
        assert reported(answer) == (409, VMI_CONFLICT + NAME_TAKEN.format("the VMI"))

    @pytest.mark.parametrize(
        ("found", "raw"),
        [(instance(absent("blue"), **BARE), None), (instance(), machine(absent("blue")))],
        ids=["in the VMI", "in the template"],
    )
    def test_a_name_that_is_leaving(self, found: Json, raw: Json | None) -> None:
        """KubeVirt answers 202, and does nothing."""
        why = 'NIC "blue" is being unplugged: ask again when it is gone'
        answer = of_vmi(ADD_BLUE, found, raw)
        assert (*reported(answer), answer.hint) == (409, VMI_CONFLICT + why, Hint.WAIT_UNTIL_GONE)

    def test_no_free_slot(self) -> None:
        assert reported(of_vmi(ADD_BLUE, crowded(), machine())) == (409, VMI_CONFLICT + NO_SLOT)

    def test_the_message_for_a_vmi_without_a_vm_named_a_template(self) -> None:
        why = f"{FULL}delete the VMI, and create it with this NIC"
        assert reported(of_vmi(ADD_BLUE, crowded(owner_uid=None))) == (409, VMI_CONFLICT + why)

    def test_a_network_of_a_namespace_that_is_not_shared(self) -> None:
        known = replace(KNOWN, access=ACCESS)
        code, message = reported(of_vmi(replace(ADD_BLUE, network="red/lan"), instance(**BARE), known=known))
        assert code == 403
        assert message.startswith(f'virtualmachineinstance.kubevirt.io "{NAME}" is forbidden: namespace default may')

    def test_the_primary_nic_stays(self) -> None:
        """It has no template, of which the remedy spoke."""
        answer = of_vmi(RemoveInterface(name="default"), instance(**BARE))
        remedy = "Delete the VMI, and create it without this NIC"
        assert reported(answer) == (409, VMI_CONFLICT + NOT_UNPLUGGED.format("default") + remedy)

    def test_an_sriov_nic_that_never_attached_leaves_without_a_state_that_admission_refuses(self) -> None:
        fast = nic("fast", binding="sriov")
        found = vmi(primary(), fast, rows=[primary_row()], owner_uid=None)
        answer = of_vmi(RemoveInterface(name="fast"), found)
        assert answer.code == 202
        spec = applied(found, answer)["spec"]
        assert [item["name"] for item in spec["domain"]["devices"]["interfaces"]] == ["default"]
        assert [item["name"] for item in spec["networks"]] == ["default"]

    def test_a_nic_of_the_template_would_come_back(self) -> None:
        answer = of_vmi(REMOVE_BLUE, instance(nic("blue")), machine(nic("blue")))
        why = (
            f'the template of VirtualMachine "{NAME}" has NIC "blue", and would bring it back: '
            f"virtctl removeinterface {NAME} --name blue --persist --namespace {NAMESPACE}"
        )
        assert (*reported(answer), answer.hint) == (409, VMI_CONFLICT + why, Hint.REMOVE_FROM_TEMPLATE)

    def test_but_not_with_rollout_strategy_stage_and_not_of_another_s_vm(self) -> None:
        raw = machine(nic("blue"))
        assert of_vmi(REMOVE_BLUE, instance(nic("blue")), raw, is_staged=True).write is not None
        assert of_vmi(REMOVE_BLUE, instance(nic("blue"), **BARE), raw).write is not None
        assert of_vmi(REMOVE_BLUE, instance(nic("blue"), owner_uid="another"), raw).write is not None

    def test_the_template_of_a_vm_that_was_deleted_and_created_again_refuses_nothing(self) -> None:
        """The instance belongs to the former VM of that name."""
        found = instance(owner_uid="the former VM")
        assert of_vmi(ADD_BLUE, found, machine(absent("blue"))).write is not None
        assert of_vmi(replace(ADD_BLUE, network="other"), found, machine(nic("blue"))).write is not None


def test_who_may_use_which_network_is_never_guessed() -> None:
    """The default of the evidence is the strictest: a handler that forgets it opens nothing."""
    assert of_vm(replace(ADD_BLUE, network="red/lan"), machine(), known=Evidence().known).code == 403
    assert of_vm(replace(ADD_BLUE, network="red/lan"), machine(), known=replace(KNOWN, access=EVERY_NAMESPACE)).write
