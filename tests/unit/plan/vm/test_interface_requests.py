"""What becomes of `status.interfaceRequests`: in the template, in the VMI, and in the list itself.

KubeVirt 1.0's rules, with nicplug's differences (docs/differences.md).
"""

import copy
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.build import (
    NOW,
    VM_UID,
    Json,
    Nic,
    absent,
    kubevirt,
    later,
    nic,
    primary,
    primary_row,
    row,
    vm,
    vm_view,
    vmi,
)
from tests.fakes.patches import JSON_PATCH, patched
from tests.fakes.status import ApiFailure

from nicplug.elided import ELIDED, ELIDED_ENTRIES, has_elided
from nicplug.kube import go_json
from nicplug.kube.object_text import ObjectText
from nicplug.model.frozen_json import freeze, thaw
from nicplug.plan.actions import CheckUnchanged, Kind, PatchInterfaces, PatchStatus
from nicplug.plan.outcome import Plan
from nicplug.plan.reasons import Reason
from nicplug.plan.views import Refusal
from nicplug.plan.vm.plan_vm import plan_vm

ORIGIN = "nicplug.io/template-interfaces"
PREFIX = "error encountered while handling dynamic interface request: "
STAGE, DECLARATIVE = kubevirt(), kubevirt(hotplug={"removalPolicy": "Declarative"})
STAGE["spec"]["configuration"]["vmRolloutStrategy"] = "Stage"


def add(name: str, network: str | None = None) -> Json:
    """As the subresource records it."""
    network = f"{name}-net" if network is None else network
    return {"addInterfaceOptions": {"networkAttachmentDefinitionName": network, "name": name}}


def remove(name: str) -> Json:
    return {"removeInterfaceOptions": {"name": name}}


def instance(*nics: Nic, **members: Any) -> Json:
    """The VMI of the VM, with every NIC in its guest."""
    names = [item["name"] for item, _ in nics if item["name"] != "default"]
    rows = [primary_row(), *(row(name, "domain", "multus-status") for name in names)]
    origin = json.dumps(sorted(["default", *names]), separators=(",", ":"))
    members = {"rows": rows, "annotations": {"kubevirt.io/vm-generation": "1", ORIGIN: origin}, **members}
    return vmi(primary(), *nics, owner_uid=VM_UID, **members)


@dataclass
class World:
    """A VM and its VMI, on which plans are carried out until nothing is left to do."""

    vm: Json
    vmi: Json | None = None
    config: Json = field(default_factory=kubevirt)
    refusal: Refusal | None = None
    plans: list[Plan] = field(default_factory=list)

    def plan(self) -> Plan:
        """Reports are due at once."""
        view = vm_view(self.vm, vmi=self.vmi, config=self.config, refusal=self.refusal, report_pending_since=later(-9))
        return plan_vm(view, now=NOW)

    def run(self) -> "World":
        for _ in range(20):
            plan = self.plan()
            if plan.is_empty:
                return self
            self.plans.append(plan)
            for action in writes(plan):
                self.apply(action)
        raise AssertionError("the plans do not end")

    def apply(self, action: Any) -> None:
        content = go_json.encode([dict(operation) for operation in action.json_patch()])  # as the client sends it
        raw = self.vm if action.kind is Kind.VM else self.vmi
        after = patched(copy.deepcopy(raw or {}), content_type=JSON_PATCH, content=content)
        if action.subresource is None:
            after["metadata"]["generation"] += 1
        if action.kind is Kind.VM:
            self.vm = after
        else:
            self.vmi = after

    @property
    def template(self) -> dict[str, str]:
        return states(self.vm["spec"]["template"]["spec"])

    @property
    def running(self) -> dict[str, str]:
        assert self.vmi is not None
        return states(self.vmi["spec"])

    @property
    def pending(self) -> list[Json]:
        return list(self.vm["status"].get("interfaceRequests") or [])

    @property
    def failure(self) -> Json:
        rows = self.vm["status"].get("conditions", [])
        return next((item for item in rows if item["type"] == "Failure"), {})

    @property
    def reported(self) -> list[tuple[str, str]]:
        return [(item.reason, item.message) for plan in self.plans for item in plan.announcements]


def states(spec: Json) -> dict[str, str]:
    """Each NIC with its state, or its network where it has none."""
    networks = {item["name"]: item.get("multus", {}).get("networkName", "pod") for item in spec.get("networks") or []}
    interfaces = spec["domain"]["devices"].get("interfaces") or []
    return {item["name"]: item.get("state") or networks[item["name"]] for item in interfaces}


def asked(*requests: Any, nics: Sequence[Nic] = (), found: Json | None = None, **members: Any) -> World:
    """A VM with these requests; it runs if `found` is its VMI."""
    config = members.pop("config", None) or kubevirt()
    strategy = "Always" if found is not None else "Halted"
    raw = vm(primary(), *nics, run_strategy=strategy, status={"interfaceRequests": list(requests)}, **members)
    return World(vm=raw, vmi=found, config=config)


def writes(plan: Plan) -> list[Any]:
    """All of them, those for afterwards last."""
    return [*plan.actions, *plan.afterwards]


def kinds(plan: Plan) -> list[tuple[str, str]]:
    return [(type(action).__name__, action.kind.value) for action in writes(plan) if hasattr(action, "kind")]


class TestRunning:
    """A request on a running VM changes the template and the VMI."""

    def test_an_added_nic_comes_to_both_and_the_request_ends_afterwards(self) -> None:
        world = asked(add("blue"), found=instance())
        plan = world.plan()
        assert kinds(plan) == [
            ("PatchInterfaces", "VirtualMachine"),
            ("PatchInterfaces", "VirtualMachineInstance"),
            ("PatchStatus", "VirtualMachine"),
        ]
        assert len(plan.afterwards) == 1
        world.run()
        assert world.template == world.running == {"default": "pod", "blue": "blue-net"}
        assert (world.pending, world.failure) == ([], {})

    def test_the_nic_is_a_bridge_whose_origin_is_the_template(self) -> None:
        world = asked(add("blue"), found=instance()).run()
        assert world.vmi is not None
        assert world.vmi["spec"]["domain"]["devices"]["interfaces"][-1] == {"name": "blue", "bridge": {}}
        assert json.loads(world.vmi["metadata"]["annotations"][ORIGIN]) == ["blue", "default"]

    def test_a_removed_nic_is_absent_in_both(self) -> None:
        world = asked(remove("blue"), nics=[nic("blue")], found=instance(nic("blue"))).run()
        assert world.template == world.running == {"default": "pod", "blue": "absent"}
        assert world.pending == []

    def test_several_requests_are_one_patch_of_each(self) -> None:
        """KubeVirt guards each with the same old list: the second one fails the whole pass."""
        world = asked(add("red"), remove("blue"), nics=[nic("blue")], found=instance(nic("blue")))
        assert len(writes(world.plan())) == 3
        world.run()
        assert world.template == world.running == {"default": "pod", "blue": "absent", "red": "red-net"}
        assert (world.pending, world.failure, world.reported) == ([], {}, [])

    def test_a_nic_that_the_vmi_alone_has_is_taken_out(self) -> None:
        """Added without --persist, removed with it."""
        found = instance(nic("blue"), annotations={ORIGIN: '["default"]'})
        world = asked(remove("blue"), found=found).run()
        assert (world.template, world.running["blue"], world.pending) == ({"default": "pod"}, "absent", [])
        assert world.vmi is not None
        assert json.loads(world.vmi["metadata"]["annotations"][ORIGIN]) == ["default"]

    def test_before_another_nic_goes_with_its_entry_the_vm_is_looked_at_once_more(self) -> None:
        """As without a request: another leader may just have given the VMI what this one's VM does not have yet."""
        origin = {"kubevirt.io/vm-generation": "1", ORIGIN: '["default","green"]'}
        rows = [primary_row(), row("blue", "domain", "multus-status")]
        found = instance(nic("blue"), nic("green"), annotations=origin, rows=rows)
        look, patch, *_ = writes(asked(remove("blue"), found=found).plan())
        assert (type(look), look.kind) == (CheckUnchanged, Kind.VM)
        assert (type(patch), patch.kind) == (PatchInterfaces, Kind.VMI)

    def test_an_sriov_nic_that_never_attached_leaves_the_template_without_a_state_that_admission_refuses(self) -> None:
        """`state: absent` was written, and the request ended with the API server's refusal."""
        fast = nic("fast", binding="sriov")
        origin = {"kubevirt.io/vm-generation": "1", ORIGIN: '["default","fast"]'}
        found = vmi(primary(), fast, owner_uid=VM_UID, rows=[primary_row()], annotations=origin)
        world = asked(remove("fast"), nics=[fast], found=found)
        first = writes(world.plan())[0]
        world.apply(first)
        assert (first.kind, world.template) == (Kind.VM, {"default": "pod"})
        world.run()
        assert (world.template, world.running) == ({"default": "pod"}, {"default": "pod"})
        assert (world.pending, world.failure) == ([], {})

    def test_a_nic_that_was_added_to_the_vmi_before_is_adopted(self) -> None:
        found = instance(nic("blue"), annotations={ORIGIN: '["default"]'})
        world = asked(add("blue"), found=found).run()
        assert (world.template["blue"], world.running["blue"]) == ("blue-net", "blue-net")
        assert world.vmi is not None
        assert json.loads(world.vmi["metadata"]["annotations"][ORIGIN]) == ["blue", "default"]

    @pytest.mark.parametrize("phase", ["Scheduling", "Scheduled"])
    def test_a_guest_that_does_not_run_yet_gets_it_too(self, phase: str) -> None:
        assert asked(add("blue"), found=instance(phase=phase)).run().running["blue"] == "blue-net"


class TestTemplateOnly:
    """Without a guest that stays, the template alone changes."""

    def test_stopped(self) -> None:
        world = asked(add("blue")).run()
        assert (world.template, world.pending) == ({"default": "pod", "blue": "blue-net"}, [])
        assert kinds(world.plans[0]) == [("PatchInterfaces", "VirtualMachine"), ("PatchStatus", "VirtualMachine")]

    def test_a_nic_leaves_the_template_of_a_stopped_vm_by_one_patch(self) -> None:
        world = asked(remove("blue"), nics=[nic("blue")])
        assert len(world.plan().actions) == 2
        assert world.run().template == {"default": "pod"}

    def test_the_primary_nic_of_a_stopped_vm_can_be_removed(self) -> None:
        assert asked(remove("default"), nics=[nic("blue")]).run().template == {"blue": "blue-net"}

    @pytest.mark.parametrize("members", [{"deleting": True}, {"phase": "Succeeded"}], ids=["deleting", "final"])
    def test_a_vmi_on_its_way_out(self, members: Json) -> None:
        found = instance(nic("blue"), **members)
        world = asked(remove("blue"), add("red"), nics=[nic("blue")], found=found)
        world.vm["spec"]["runStrategy"] = "Once"
        world.vm["status"]["runStrategy"] = "Once"
        world.run()
        assert world.template == {"default": "pod", "blue": "absent", "red": "red-net"}
        assert (world.running, world.pending) == ({"default": "pod", "blue": "blue-net"}, [])

    def test_beside_a_vmi_on_its_way_out_the_primary_nic_leaves_the_template(self) -> None:
        """`state: absent` was written, which admission refuses for it."""
        world = asked(remove("default"), nics=[nic("blue")], found=instance(nic("blue"), deleting=True))
        world.apply(writes(world.plan())[0])
        assert world.template == {"blue": "blue-net"}


class TestWaiting:
    """Requests that cannot be carried out yet stay, and cost nothing."""

    @pytest.mark.parametrize("config", [kubevirt("x"), None], ids=["gate off", "no KubeVirt CR"])
    def test_none_is_worked_off_while_the_gate_is_off(self, config: Json | None) -> None:
        world = asked(add("blue"), found=instance())
        view = vm_view(world.vm, vmi=world.vmi, config=config)
        assert not [item for item in plan_vm(view, now=NOW).actions if isinstance(item, PatchInterfaces | PatchStatus)]

    def test_a_name_that_is_absent_in_the_template_is_waited_for(self) -> None:
        """KubeVirt ends the request with no effect."""
        found = instance(absent("blue"))
        world = asked(add("blue", "other"), nics=[absent("blue")], found=found).run()
        assert (world.pending, world.template["blue"]) == ([add("blue", "other")], "absent")
        world.vmi = instance()
        world.run()
        assert (world.pending, world.template["blue"], world.running["blue"]) == ([], "other", "other")

    @pytest.mark.parametrize("config", [kubevirt(), STAGE], ids=["LiveUpdate", "Stage"])
    def test_a_name_that_is_absent_in_the_vmi_alone_is_waited_for(self, config: Json) -> None:
        """It was removed from the instance, without --persist; with Stage nothing would bring it back."""
        world = asked(add("blue"), nics=[nic("blue")], found=instance(absent("blue")), config=config).run()
        assert world.pending == [add("blue")]
        world.vmi = instance()
        world.run()
        assert (world.pending, world.running["blue"]) == ([], "blue-net")

    def test_what_is_asked_for_the_same_name_later_waits_behind_it(self) -> None:
        requests = [remove("blue"), add("blue", "other"), remove("blue")]
        world = asked(*requests, nics=[nic("blue")], found=instance(nic("blue"))).run()
        assert world.pending == requests[1:]

    def test_others_do_not_wait(self) -> None:
        world = asked(add("blue"), add("red"), nics=[absent("blue")], found=instance(absent("blue"))).run()
        assert (world.pending, world.running["red"]) == ([add("blue")], "red-net")

    def test_what_the_api_server_refused_of_the_vm_is_waited_for(self) -> None:
        world = asked(add("blue"), found=instance())
        world.refusal = Refusal(reason=Reason.HOTPLUG_ERROR, message="no")
        assert [type(action) for action in world.plan().actions] in ([], [PatchStatus])
        world.run()
        assert world.pending == [add("blue")]


class TestNothingToDo:
    """Requests that ask for what is there end without a change; their list alone is written."""

    @pytest.mark.parametrize(
        ("request_", "nics", "found"),
        [
            (add("blue"), [nic("blue")], instance(nic("blue"))),
            (add("blue", "default/blue-net"), [nic("blue")], instance(nic("blue"))),
            (remove("red"), [nic("blue")], instance(nic("blue"))),
            (remove("blue"), [absent("blue")], instance(absent("blue"))),
        ],
        ids=["it is there", "by its whole name", "unknown, which KubeVirt never ends", "it is leaving"],
    )
    def test_it_ends(self, request_: Json, nics: list[Nic], found: Json) -> None:
        world = asked(request_, nics=nics, found=found).run()
        assert [kinds(plan) for plan in world.plans] == [[("PatchStatus", "VirtualMachine")]]
        assert (world.pending, world.failure) == ([], {})

    def test_its_end_is_reported_at_once(self) -> None:
        """Nobody can make the next request of that name before."""
        world = asked(remove("unknown"), found=instance())
        (action,) = plan_vm(vm_view(world.vm, vmi=world.vmi), now=NOW).actions
        assert isinstance(action, PatchStatus)

    def test_a_vm_at_rest_is_left_alone(self) -> None:
        world = asked(nics=[nic("blue")], found=instance(nic("blue"))).run()
        assert world.plan().is_empty


FAILING = (
    pytest.param("x", "the request is not an object", id="unreadable"),
    pytest.param(
        {"removeInterfaceOptions": {}}, "RemoveInterfaceOptions requires `name` to be set", id="without a name"
    ),
    pytest.param(
        add("blue/../x", "lan"),
        'name "blue/../x" is not valid. Use 1 to 128 letters, digits, dashes or underscores',
        id="bad name",
    ),
    pytest.param(
        add("red", "a/b/c"),
        'multus.networkName "a/b/c" is not a name. '
        "Write <name> or <namespace>/<name> of a network attachment definition",
        id="bad network",
    ),
    pytest.param(
        add("blue", "other"),
        'NIC "blue" of the VM\'s template is on network attachment definition default/blue-net, not default/other: '
        "use another name, or remove that NIC first",
        id="name taken",
    ),
    pytest.param(
        add("default"),
        'NIC "default" of the VM\'s template is the primary one: use another name, or remove that NIC first',
        id="name of the primary NIC",
    ),
    pytest.param(
        remove("default"),
        'NIC "default" cannot be taken out of a running guest: only a bridge NIC of a secondary network can. '
        "Stop the VM first, or delete the NIC's entries from its template and restart it",
        id="cannot be unplugged",
    ),
)


class TestFailing:
    """What cannot be carried out ends, with a condition."""

    @pytest.mark.parametrize(("request_", "why"), FAILING)
    def test_it_is_reported_and_ends(self, request_: Any, why: str) -> None:
        world = asked(request_, nics=[nic("blue")], found=instance(nic("blue"))).run()
        assert (world.pending, world.template) == ([], {"default": "pod", "blue": "blue-net"})
        assert (world.failure["status"], world.failure["reason"]) == ("True", "HotPlugNetworkInterfaceError")
        assert world.failure["message"] == PREFIX + why
        assert world.reported == [("HotPlugNetworkInterfaceError", PREFIX + why)]

    def test_it_stays_reported_until_the_template_changes(self) -> None:
        world = asked(add("default"), found=instance()).run()
        world.vm["metadata"]["generation"] += 1
        assert world.run().failure == {}

    def test_or_until_a_later_request_is_carried_out(self) -> None:
        world = asked(add("default"), found=instance()).run()
        world.vm["status"]["interfaceRequests"] = [remove("unknown")]
        assert world.run().failure == {}

    def test_a_request_that_waits_does_not_take_it_away(self) -> None:
        world = asked(add("default"), add("blue"), nics=[absent("blue")], found=instance(absent("blue"))).run()
        assert world.pending == [add("blue")]
        assert world.failure["reason"] == "HotPlugNetworkInterfaceError"

    def test_the_others_are_carried_out_and_it_is_reported_behind_them(self) -> None:
        """KubeVirt touches no template while one of the requests fails."""
        world = asked(add("default"), add("blue"), found=instance()).run()
        assert (world.pending, world.running["blue"]) == ([], "blue-net")
        assert world.failure["reason"] == "HotPlugNetworkInterfaceError"

    def test_several_are_counted(self) -> None:
        world = asked("x", "y", "z", found=instance()).run()
        assert world.failure["message"] == f"{PREFIX}the request is not an object; and 2 more requests failed"

    def test_a_name_that_the_vmi_alone_has_is_taken_as_well(self) -> None:
        found = instance(nic("blue"), annotations={ORIGIN: '["default"]'})
        assert 'NIC "blue" of the VMI is on' in asked(add("blue", "other"), found=found).run().failure["message"]


class TestRefusedByTheApiServer:
    """A policy or a schema refuses the change of the template or of the VMI."""

    def _refused(self, *requests: Json) -> Refusal:
        texts = [freeze(request) for request in requests]
        return Refusal(reason=Reason.HOTPLUG_ERROR, message="policy says no", requests=freeze(texts))

    def test_the_plan_says_for_which_requests_it_is(self) -> None:
        assert asked(add("blue")).plan().requests == self._refused(add("blue")).requests
        assert asked(remove("unknown")).plan().requests == ""

    def test_a_single_request_ends_with_the_reason(self) -> None:
        world = asked(add("blue"), found=instance())
        world.refusal = self._refused(add("blue"))
        world.run()
        assert (world.pending, world.running) == ([], {"default": "pod"})
        assert world.failure["message"] == f"{PREFIX}policy says no"

    def test_of_several_each_is_tried_alone(self) -> None:
        world = asked(add("blue"), add("red"), found=instance())
        world.refusal = self._refused(add("blue"), add("red"))
        plan = world.plan()
        assert plan.requests == self._refused(add("blue")).requests
        for action in writes(plan):
            world.apply(action)
        assert (world.pending, world.running) == ([add("red")], {"default": "pod", "blue": "blue-net"})

    def test_a_refusal_of_earlier_requests_keeps_nothing_else_from_being_done(self) -> None:
        world = asked(add("red"), nics=[nic("blue")], found=instance())
        world.refusal = self._refused(add("blue"))
        assert world.run().running == {"default": "pod", "blue": "blue-net", "red": "red-net"}


class TestStage:
    """Edits of the template wait for a restart then; what is asked of the running VM does not."""

    def test_an_added_nic(self) -> None:
        world = asked(add("blue"), nics=[nic("red")], found=instance(), config=STAGE).run()
        assert world.template == {"default": "pod", "red": "red-net", "blue": "blue-net"}
        assert (world.running, world.pending) == ({"default": "pod", "blue": "blue-net"}, [])

    def test_a_removed_nic(self) -> None:
        nics = [nic("blue"), absent("red")]
        world = asked(remove("blue"), nics=nics, found=instance(nic("blue"), nic("red")), config=STAGE).run()
        assert (world.template["blue"], world.running) == (
            "absent",
            {"default": "pod", "blue": "absent", "red": "red-net"},
        )

    def test_nothing_is_unplugged_for_a_deleted_entry(self) -> None:
        config = copy.deepcopy(DECLARATIVE)
        config["spec"]["configuration"]["vmRolloutStrategy"] = "Stage"
        world = asked(add("blue"), found=instance(nic("red")), config=config).run()
        assert world.running == {"default": "pod", "red": "red-net", "blue": "blue-net"}


def test_a_crash_between_any_two_writes_loses_nothing_and_repeats_nothing() -> None:
    for config in (kubevirt(), STAGE, DECLARATIVE):
        for written in range(3):
            world = asked(add("red"), remove("blue"), nics=[nic("blue")], found=instance(nic("blue")), config=config)
            for action in writes(world.plan())[:written]:
                world.apply(action)
            world.run()
            assert world.template == world.running == {"default": "pod", "blue": "absent", "red": "red-net"}
            assert (world.pending, world.failure) == ([], {})
            assert world.vm["metadata"]["generation"] == 2, "the template was written once"


def test_a_request_that_has_ended_is_not_carried_out_by_who_has_not_heard_of_it() -> None:
    """Its NIC was added and removed again, so that the template is as the other leader knows it."""
    world = asked(add("blue"))
    stale, _ = world.plan().actions
    world.vm["status"]["interfaceRequests"] = None
    with pytest.raises(ApiFailure):
        world.apply(stale)


def test_thousands_of_requests_are_worked_off_in_pieces() -> None:
    world = asked(*(add(f"n{index}") for index in range(100)), found=instance())
    for action in writes(world.plan()):
        world.apply(action)
    assert (len(world.pending), len(world.template)) == (36, 65)


class TestTooLargeToBeRead:
    """Rows are never lost because an object has too much else in it (docs/adr/0018)."""

    def _read(self, requests: list[Json], **status: Any) -> Json:
        raw = vm(primary(), run_strategy="Halted", status={"interfaceRequests": requests, **status})
        found: Json = ObjectText("virtualmachines").read(json.dumps(raw).encode())
        return found

    def test_beside_large_members_of_the_status_they_are_read(self) -> None:
        raw = self._read([add("blue")], volumeSnapshotStatuses=[{"x": "y" * 1000}] * 200, memoryDumpRequest={})
        assert has_elided(raw["status"])
        assert World(vm=raw).plan().requests == freeze([freeze(add("blue"))])

    def test_the_rows_behind_those_that_can_be_read_stay(self) -> None:
        raw = self._read([add(f"n{number}") for number in range(20_000)])
        rows = raw["status"]["interfaceRequests"]
        assert ELIDED_ENTRIES in rows[-1]
        raw["status"]["interfaceRequests"] = [*rows[:3], rows[-1]]
        *_, trim = World(vm=raw).plan().actions
        assert isinstance(trim, PatchStatus)
        assert thaw(trim.wanted)["interfaceRequests"] == rows[-1:]

    @pytest.mark.parametrize("rows", [[{ELIDED_ENTRIES: "x/1"}], {ELIDED: "x/1"}], ids=["rows", "list"])
    def test_what_cannot_be_read_now_stays(self, rows: Any) -> None:
        raw = vm(primary(), run_strategy="Halted", status={"interfaceRequests": rows})
        for action in World(vm=raw).plan().actions:
            assert isinstance(action, PatchStatus)
            assert "interfaceRequests" not in thaw(action.wanted)


NAMES = st.sampled_from(["red", "blue", "default", "bad name", ""])
REQUESTS = st.lists(st.builds(add, NAMES, st.sampled_from(["lan", "a/b/c", ""])) | st.builds(remove, NAMES), max_size=5)


@given(REQUESTS, st.booleans(), st.sampled_from([kubevirt(), STAGE, DECLARATIVE]))
def test_the_plans_come_to_an_end_and_leave_only_what_waits(
    requests: list[Json], is_running: bool, config: Json
) -> None:
    world = asked(*requests, nics=[nic("blue")], found=instance(nic("blue")) if is_running else None, config=config)
    world.run()
    leaving = {name for name, state in world.template.items() if state == "absent"}
    assert {next(iter(item.values()))["name"] for item in world.pending} <= leaving
