"""`onFailure: Rollback`: what cannot be brought about is taken back, once, and stays so until its owner changes it."""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.build import (
    CONTROLLER,
    NAME,
    NOW,
    VM_UID,
    VMI_UID,
    Json,
    Nic,
    element,
    failed,
    kubevirt,
    later,
    migration,
    nad,
    network_status,
    nic,
    operation,
    owner,
    pod,
    primary,
    primary_row,
    row,
    vm,
    vm_view,
    vmi,
    vmi_view,
)
from tests.fakes.patches import JSON_PATCH, patched
from tests.fakes.status import ApiFailure

from nicplug.model.conditions import Condition, merge_condition
from nicplug.model.frozen_json import thaw
from nicplug.model.hotplug_policy import HotplugPolicy, OnFailure
from nicplug.model.operations import OperationType
from nicplug.plan.actions import Action, Create, Kind, PatchAnnotations, PatchInterfaces
from nicplug.plan.outcome import Plan
from nicplug.plan.reasons import Reason
from nicplug.plan.vm.plan_vm import plan_vm
from nicplug.plan.vmi.plan_vmi import plan_vmi
from nicplug.plan.vmi.roll_back import plan_roll_back

NOTE = "nicplug.io/rolled-back-interfaces"
ORIGIN = "nicplug.io/template-interfaces"
ROLLBACK = HotplugPolicy(on_failure=OnFailure.ROLLBACK, origins={"onFailure": "KubeVirt CR kubevirt/kubevirt"})
MIGRATABLE = {"type": "LiveMigratable", "status": "True"}
TRIED = operation("blue", attempts=2, waitingSince=later(-4), lastAttemptTime=later(-2), observedGeneration=1)
BLUE = nic("blue")


class World:
    """A VM, its VMI and its pod; the planners' patches are carried out as an API server would."""

    def __init__(self, *, template: tuple[Nic, ...] = (BLUE,), bare: bool = False, **members: Any) -> None:
        self.facts: dict[str, Any] = {"controller": CONTROLLER, "policy": ROLLBACK, "failures": [failed("blue")]}
        self.vm: Json | None = None if bare else copy.deepcopy(vm(primary(), *template, status={}))
        base: Json = {
            "rows": [primary_row()],
            "operations": [TRIED],
            "conditions": [MIGRATABLE],
            "owner_uid": None if bare else VM_UID,
            "annotations": None if bare else {ORIGIN: '["blue","default"]'},
        }
        self.vmi = copy.deepcopy(vmi(primary(), *template, **(base | members)))
        self.pod = pod(networks=[element("blue")])
        self.steps = 0
        self.now = NOW

    def of_vmi(self) -> Plan:
        view = vmi_view(
            self.vmi, self.pod, vm=self.vm, report_pending_since=later(-60), spec_seen_at=later(-60), **self.facts
        )
        return plan_vmi(view, now=self.now)

    def of_vm(self) -> Plan:
        facts = {"config": self.facts["config"]} if "config" in self.facts else {}
        view = vm_view(self.vm, vmi=self.vmi, report_pending_since=later(-60), **facts) if self.vm else None
        return plan_vm(view, now=self.now) if view is not None else Plan()

    def carry_out(self, action: Action) -> None:
        assert not isinstance(action, Create), action
        slot = {Kind.VM: "vm", Kind.VMI: "vmi", Kind.POD: "pod"}[action.kind]
        content = json.dumps([dict(item) for item in action.json_patch()]).encode()  # type: ignore[union-attr]
        before = getattr(self, slot)
        after = patched(copy.deepcopy(before), content_type=JSON_PATCH, content=content)
        if after.get("spec") != before.get("spec"):
            after["metadata"]["generation"] += 1
        after["metadata"]["resourceVersion"] = str(int(before["metadata"]["resourceVersion"]) + 1)
        setattr(self, slot, after)
        self.steps += 1

    def settle(self, *, kill_after: int | None = None) -> None:
        """Until nothing is left to do; an operator that is killed forgets what it had still to do."""
        for _ in range(12):
            actions = (*self.of_vmi().actions, *self.of_vm().actions)
            if not actions:
                return
            for action in actions:
                if kill_after is not None and self.steps == kill_after:
                    kill_after = None
                    break
                try:
                    self.carry_out(action)
                except ApiFailure:
                    break
        raise AssertionError("does not come to rest")

    def write(self, change: Callable[[Json], None]) -> None:
        """The VM's owner changes its template."""
        assert self.vm is not None
        change(self.vm["spec"]["template"]["spec"])
        self.vm["metadata"]["generation"] += 1

    def nics(self) -> list[str]:
        return [item["name"] for item in self.vmi["spec"]["domain"]["devices"]["interfaces"]]

    def networks(self) -> dict[str, str]:
        return {item["name"]: item.get("multus", {}).get("networkName", "") for item in self.vmi["spec"]["networks"]}

    def record(self, name: str = "blue") -> Json:
        rows = self.vmi["status"].get("interfaceOperations", [])
        found: Json = next((item for item in rows if item["name"] == name), {})
        return found

    def note(self) -> Any:
        text = self.vmi["metadata"].get("annotations", {}).get(NOTE)
        return json.loads(text) if text is not None else None

    def asked(self) -> list[str]:
        text = self.pod["metadata"]["annotations"].get("k8s.v1.cni.cncf.io/networks") or "[]"
        return [item["name"] for item in json.loads(text)]


def rolled_back(**members: Any) -> World:
    """A world in which NIC blue was taken back."""
    world = World(**members)
    world.settle()
    assert world.record()["reason"] == Reason.ROLLED_BACK
    return world


def test_a_nic_that_fails_is_taken_back_and_the_vm_keeps_what_its_owner_wrote() -> None:
    world = World()
    template = copy.deepcopy(world.vm["spec"]) if world.vm else None
    world.settle()
    assert world.vm is not None
    assert world.vm["spec"] == template
    assert (world.nics(), list(world.networks()), world.asked()) == (["default"], ["default"], [])
    record = world.record()
    assert (record["operation"], record["path"], record["phase"]) == ("Plug", "None", "Failed")
    assert record["message"].endswith("as onFailure is Rollback (KubeVirt CR kubevirt/kubevirt)")
    assert record["remedy"] == "To try again, change its entry or onFailure"
    assert "failed 2 times to attach network default/blue-net" in record["message"]
    assert set(world.note()) == {"blue"}
    assert world.vmi["metadata"]["annotations"][ORIGIN] == '["default"]'


def test_it_is_reported_once() -> None:
    reported = [item for item in World().of_vmi().announcements if item.reason == "InterfaceFailed"]
    assert len(reported) == 1
    assert rolled_back().of_vmi().announcements == ()


def test_why_it_was_taken_back_is_not_read_from_the_message() -> None:
    world, reported = rolled_back(), rolled_back().record()
    world.vmi["status"]["interfaceOperations"][0] |= {"message": "x", "remedy": "x"}
    world.settle()
    assert world.record() == reported


def test_a_record_of_an_earlier_version_has_only_its_message_to_say_why_it_was_taken_back() -> None:
    """It is quoted as it is, whatever it says."""
    world = rolled_back()
    record = world.vmi["status"]["interfaceOperations"][0]
    record["message"] = "x"
    del record["rollbackCause"]
    world.settle()
    assert (world.record()["message"], world.record()["rollbackCause"]) == ("x", "x")
    assert world.of_vmi().is_empty


@pytest.mark.parametrize("steps", range(1, 5))
def test_an_operator_that_is_killed_between_two_writes_comes_to_the_same_end(steps: int) -> None:
    world, whole = World(), rolled_back()
    world.settle(kill_after=steps)
    assert (world.nics(), world.asked(), world.note()) == (whole.nics(), whole.asked(), whole.note())
    assert world.record()["reason"] == Reason.ROLLED_BACK


def test_of_two_leaders_one_takes_it_back() -> None:
    world = World()
    (mine,) = [item for item in world.of_vmi().actions if isinstance(item, PatchInterfaces)]
    (theirs,) = [item for item in world.of_vmi().actions if isinstance(item, PatchInterfaces)]
    assert mine == theirs
    world.carry_out(mine)
    with pytest.raises(ApiFailure):
        world.carry_out(theirs)


def test_a_record_that_is_lost_does_not_bring_it_back() -> None:
    world = rolled_back()
    world.vmi["status"].pop("interfaceOperations")
    world.settle()
    assert world.nics() == ["default"]
    assert world.record()["reason"] == Reason.ROLLED_BACK
    assert "rolled back, as onFailure is Rollback" in world.record()["message"]


def test_what_its_owner_has_corrected_meanwhile_is_not_what_has_failed() -> None:
    """The correction has not reached the VMI yet: it is not noted as taken back, and is tried."""
    world = World()
    world.write(lambda spec: spec["networks"][1]["multus"].update(networkName="other"))
    assert not [item for item in world.of_vmi().actions if isinstance(item, PatchInterfaces)]
    assert world.note() is None


def staged(world: World) -> World:
    """Its cluster keeps changes of templates from running VMs."""
    config = kubevirt()
    config["spec"]["configuration"]["vmRolloutStrategy"] = "Stage"
    world.facts["config"] = config
    return world


def test_under_stage_what_failed_is_taken_back_though_the_template_asks_for_another_network_by_now() -> None:
    """The correction does not come to the VMI: it was said to be taken back, and the VMI asked for it for ever."""
    world = staged(World())
    world.write(lambda spec: spec["networks"][1]["multus"].update(networkName="other"))
    assert world.of_vmi().announcements[0].reason == "InterfaceFailed"
    world.settle()
    assert (world.nics(), world.asked(), world.note()) == (["default"], [], None)
    assert world.record()["reason"] == Reason.ROLLOUT_STRATEGY_STAGE


def test_what_stage_has_kept_back_is_tried_once_it_may_flow() -> None:
    world = staged(World())
    world.write(lambda spec: spec["networks"][1]["multus"].update(networkName="other"))
    world.settle()
    world.facts |= {"config": kubevirt(), "failures": []}
    world.settle()
    assert (world.networks()["blue"], world.asked(), world.note()) == ("other", ["other"], None)


def test_under_stage_a_failed_change_of_a_network_is_taken_back_though_the_template_asks_for_a_third() -> None:
    world = staged(with_failed_change())
    world.facts["nads"].append(nad("third"))
    world.write(lambda spec: spec["networks"][1]["multus"].update(networkName="third"))
    world.settle()
    assert (world.networks()["blue"], world.note()) == ("blue-net", None)
    assert world.record()["reason"] == Reason.ROLLOUT_STRATEGY_STAGE


MINE = nic("blue", mac="02:00:00:00:00:99", attachment="mine")


def with_own_words(**members: Any) -> World:
    """Somebody has written NIC blue on the instance itself; its VM's template asks for another, which Stage keeps."""
    world = staged(World(template=(MINE,), annotations={ORIGIN: '["default"]'}, **members))
    world.pod = pod(networks=[element("blue", mac="02:00:00:00:00:99", attachment="mine")])
    world.write(lambda spec: spec["networks"][1]["multus"].update(networkName="other"))
    return world


def blue_of(world: World) -> tuple[Json, Json]:
    spec = world.vmi["spec"]
    return spec["domain"]["devices"]["interfaces"][1], spec["networks"][1]


def test_under_stage_what_somebody_wrote_on_the_instance_itself_is_not_deleted() -> None:
    """No object held those words any more. The pod is not asked for it, and the record says so, once."""
    world = with_own_words()
    world.settle()
    assert (blue_of(world), world.asked(), set(world.note())) == (MINE, [], {"blue"})
    assert world.record()["reason"] == Reason.ROLLED_BACK
    assert world.of_vmi().announcements == ()
    world.vmi["metadata"]["generation"] += 1
    world.settle()
    assert (blue_of(world), world.record()["reason"], world.asked()) == (MINE, Reason.ROLLED_BACK, [])


@pytest.mark.parametrize("steps", range(1, 5))
def test_what_was_written_on_the_instance_outlives_an_operator_that_is_killed(steps: int) -> None:
    world = with_own_words()
    world.settle(kill_after=steps)
    assert (blue_of(world), world.asked(), set(world.note())) == (MINE, [], {"blue"})


def test_under_stage_what_was_written_on_the_instance_is_tried_again_when_it_is_corrected_there() -> None:
    world = with_own_words()
    world.settle()
    note = world.note()
    world.write(lambda spec: spec["networks"][1]["multus"].update(networkName="third"))
    world.settle()
    assert (world.record()["reason"], world.note()) == (Reason.ROLLED_BACK, note), "the template's do not come to it"
    world.vmi["spec"]["networks"][1]["multus"]["networkName"] = "corrected"
    world.vmi["metadata"]["generation"] += 1
    world.facts["failures"] = []
    world.settle()
    assert (world.networks()["blue"], world.asked(), world.note()) == ("corrected", ["corrected"], None)


def test_what_the_template_asks_for_is_tried_once_it_may_flow_over_what_failed_on_the_instance() -> None:
    world = with_own_words()
    world.settle()
    world.facts |= {"config": kubevirt(), "failures": []}
    world.settle()
    world.now = later(8)  # the controller had just been asked for the instance's
    world.settle()
    assert (world.networks()["blue"], world.asked(), world.note()) == ("other", ["other"], None)


def test_under_stage_a_nic_of_the_instance_is_served_though_the_template_s_was_taken_back() -> None:
    """What has failed is not what it asks for: it is neither refused unasked nor deleted."""
    world = staged(World())
    world.settle()
    assert (world.nics(), world.record()["reason"]) == (["default"], Reason.ROLLED_BACK)
    world.vmi["spec"]["domain"]["devices"]["interfaces"].append(MINE[0])
    world.vmi["spec"]["networks"].append(MINE[1])
    world.vmi["metadata"]["generation"] += 1
    world.facts["failures"] = []
    world.settle()
    assert (blue_of(world), world.asked(), world.record()["phase"]) == (MINE, ["mine"], "Pending")
    note = world.note()
    world.pod["metadata"]["annotations"]["k8s.v1.cni.cncf.io/network-status"] = network_status("pod16477688c0e")
    world.vmi["status"]["interfaces"] = IN_GUEST
    world.settle()
    assert (blue_of(world), world.asked(), world.note()) == (MINE, ["mine"], note), "what has come was not taken back"


def test_under_stage_what_failed_and_is_to_go_by_the_template_is_noted_once() -> None:
    """The VMI's pass noted it, the VM's pass struck it out, for ever."""
    world = staged(World())
    world.write(lambda spec: spec["domain"]["devices"]["interfaces"][1].update(state="absent"))
    world.settle()
    assert (world.nics(), world.asked(), set(world.note())) == (["default", "blue"], [], {"blue"})
    assert world.record()["reason"] == Reason.ROLLED_BACK


def test_what_was_taken_back_and_was_deleted_from_the_template_is_reported_in_words_that_do_not_grow() -> None:
    """Each pass added to its record what the pass before had added already, and wrote it: for ever."""

    def delete(spec: Json) -> None:
        del spec["domain"]["devices"]["interfaces"][1], spec["networks"][1]

    world = staged(World())
    world.write(delete)
    world.settle()
    assert world.record()["reason"] == Reason.ROLLED_BACK
    assert world.record()["message"].count("as vmRolloutStrategy is Stage") == 1
    world.facts["config"] = kubevirt()
    world.settle()
    assert world.record() == {}, "nobody has had it, so deleting it is enough"


def test_under_stage_a_failed_change_that_was_asked_of_the_instance_is_not_deleted() -> None:
    world = staged(with_failed_change(annotations={ORIGIN: '["default"]'}))
    world.write(lambda spec: spec["networks"][1]["multus"].update(networkName="blue-net"))
    world.settle()
    assert (world.networks()["blue"], world.asked(), set(world.note())) == ("other", ["blue-net"], {"blue"})
    assert (world.record()["operation"], world.record()["reason"]) == ("ChangeNetwork", Reason.ROLLED_BACK)


def test_an_interface_that_the_pod_has_is_not_forgotten_before_it_is_detached() -> None:
    """The controller delivered it just when its time was over: nothing of it must stay in the pod."""
    world = World()
    taken = {"blue": OperationType.PLUG}
    view = vmi_view(world.vmi, world.pod, vm=world.vm, **world.facts)
    assert plan_roll_back(view, pod=None, rolled_back=taken, in_pod=frozenset({"blue"})) is None
    assert isinstance(plan_roll_back(view, pod=None, rolled_back=taken, in_pod=frozenset()), PatchInterfaces)


def test_a_nic_that_its_owner_changes_is_tried_again() -> None:
    world = rolled_back()
    world.write(lambda spec: spec["networks"][1]["multus"].update(networkName="other"))
    world.facts["failures"] = []
    world.settle()
    assert (world.networks()["blue"], world.asked(), world.note()) == ("other", ["other"], None)
    assert (world.record()["phase"], world.record()["path"]) == ("Pending", "Dynamic")


def test_a_nic_that_its_owner_takes_out_and_writes_again_is_tried_again() -> None:
    world = rolled_back()
    kept: Json = {}

    def take_out(spec: Json) -> None:
        kept.update(interface=spec["domain"]["devices"]["interfaces"].pop(), network=spec["networks"].pop())

    def write_again(spec: Json) -> None:
        spec["domain"]["devices"]["interfaces"].append(kept["interface"])
        spec["networks"].append(kept["network"])

    world.write(take_out)
    world.settle()
    assert (world.note(), world.record()) == (None, {})
    world.write(write_again)
    world.facts["failures"] = []
    world.settle()
    assert world.nics() == ["default", "blue"]


def test_another_nic_is_no_reason_to_try_it_again() -> None:
    world = rolled_back()

    def add(spec: Json) -> None:
        interface, network = nic("red")
        spec["domain"]["devices"]["interfaces"].append(interface)
        spec["networks"].append(network)

    world.write(add)
    world.settle()
    assert (world.nics(), world.asked()) == (["default", "red"], ["red-net"])
    assert world.record()["reason"] == Reason.ROLLED_BACK


def test_another_policy_brings_it_back() -> None:
    world = rolled_back()
    world.facts |= {"policy": HotplugPolicy(on_failure=OnFailure.HOLD), "failures": []}
    world.settle()
    assert (world.nics(), world.note()) == (["default", "blue"], None)


def test_what_the_template_has_corrected_meanwhile_is_not_taken_back() -> None:
    """The correction has still to reach the VMI: what failed is what was asked for before."""
    world = World()
    world.write(lambda spec: spec["networks"][1]["multus"].update(networkName="other"))
    world.facts["failures"] = []
    world.settle()
    assert (world.networks()["blue"], world.note()) == ("other", None)


def test_a_nic_that_arrives_after_all_is_not_taken_back() -> None:
    world = World()
    world.pod["metadata"]["annotations"]["k8s.v1.cni.cncf.io/network-status"] = network_status("pod16477688c0e")
    world.settle()
    assert world.nics() == ["default", "blue"]
    assert (world.record()["phase"], world.note()) == ("InPod", None)


def test_the_entries_of_a_vmi_without_a_vm_stay_as_its_owner_wrote_them() -> None:
    world = rolled_back(bare=True)
    assert (world.nics(), world.asked()) == (["default", "blue"], [])
    assert set(world.note()) == {"blue"}
    world.vmi["metadata"]["generation"] += 1
    world.settle()
    assert (world.record()["reason"], world.asked()) == (Reason.ROLLED_BACK, [])
    world.vmi["spec"]["networks"][1]["multus"]["networkName"] = "other"
    world.vmi["metadata"]["generation"] += 1
    world.facts["failures"] = []
    world.settle()
    assert (world.asked(), world.note(), world.record()["phase"]) == (["other"], None, "Pending")


OTHER = nic("blue", attachment="other")
IN_GUEST = [primary_row(), row("blue", "domain", "multus-status")]


def with_failed_change(**members: Any) -> World:
    """NIC blue is in the guest, and the migration to another network has failed for good."""
    world = World(template=(OTHER,), rows=IN_GUEST, operations=[], **members)
    world.pod = pod(networks=[element("blue")], attached=["blue"])
    world.facts |= {"nads": [nad("blue-net"), nad("other")], "failures": []}
    asked = World(template=(OTHER,), rows=IN_GUEST, operations=[], **members)
    asked.facts, asked.pod = {**world.facts}, world.pod
    (create,) = [item for item in asked.of_vmi().actions if isinstance(item, Create)]
    made = thaw(create.body)
    condition = Condition(type="Progressing", status="False", reason="TargetPodNotReady", message="no such device")
    ended = migration(
        "Failed",
        name=made["metadata"]["name"],
        status={"conditions": merge_condition([], condition, now=NOW)},
        annotations=made["metadata"]["annotations"],
        ownerReferences=[owner("VirtualMachineInstance", NAME, VMI_UID)],
        creationTimestamp="2026-01-02T03:04:00Z",
    )
    world.facts["migrations"] = [ended]
    return world


def test_a_network_that_cannot_be_changed_returns_to_what_the_guest_has() -> None:
    world = with_failed_change()
    world.settle()
    assert world.vm is not None
    assert world.vm["spec"]["template"]["spec"]["networks"][1]["multus"]["networkName"] == "other"
    assert (world.networks()["blue"], set(world.note())) == ("blue-net", {"blue"})
    record = world.record()
    assert (record["operation"], record["phase"], record["reason"]) == ("ChangeNetwork", "Failed", Reason.ROLLED_BACK)
    assert "no such device; rolled back, as onFailure is Rollback" in record["message"]
    assert world.asked() == ["blue-net"]


def test_a_network_that_was_changed_back_is_served_again_when_its_owner_says_another() -> None:
    world = with_failed_change()
    world.settle()
    world.write(lambda spec: spec["networks"][1]["multus"].update(networkName="blue-net"))
    world.settle()
    assert (world.networks()["blue"], world.note(), world.record()) == ("blue-net", None, {})


def test_a_changed_network_of_a_vmi_without_a_vm_stays_as_its_owner_wrote_it() -> None:
    world = with_failed_change(bare=True)
    world.settle()
    assert (world.networks()["blue"], world.record()["reason"]) == ("other", Reason.ROLLED_BACK)


@pytest.mark.parametrize("text", ["{", "[]", '{"blue": 1}', "[" * 9999])
def test_an_annotation_that_somebody_edited_says_nothing(text: str) -> None:
    world = rolled_back()
    world.vmi["metadata"]["annotations"][NOTE] = text
    assert isinstance(world.of_vm().actions[0], PatchInterfaces)


def test_a_vm_that_is_not_in_sight_has_nothing_taken_back() -> None:
    """Nobody knows what its owner wrote."""
    world = World()
    view = vmi_view(
        world.vmi, world.pod, vm=None, report_pending_since=later(-60), spec_seen_at=later(-60), **world.facts
    )
    actions = plan_vmi(view, now=NOW).actions
    assert not [item for item in actions if isinstance(item, (PatchInterfaces, PatchAnnotations))]
