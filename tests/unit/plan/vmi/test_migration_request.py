"""What a migration is made for, how often, and when not again."""

import json
from dataclasses import replace
from typing import Any, ClassVar

import pytest
from tests.build import (
    CONTROLLER,
    NAME,
    NOT_INSTALLED,
    NOW,
    VMI_UID,
    Json,
    Nic,
    a_migration,
    absent,
    element,
    failed,
    later,
    migration,
    migration_state,
    nad,
    nic,
    operation,
    owner,
    pod,
    primary,
    primary_row,
    target_pod,
    vmi,
    vmi_view,
)

from nicplug.model.conditions import Condition, merge_condition
from nicplug.model.dynamic_controller import ControllerState, DynamicController
from nicplug.model.frozen_json import thaw
from nicplug.model.hotplug_policy import HotplugPolicy, OnFailure
from nicplug.plan.actions import Create, Delete, Kind, PatchAnnotations, PatchStatus
from nicplug.plan.nic.path.blame import changes_of
from nicplug.plan.outcome import Plan
from nicplug.plan.reasons import Reason
from nicplug.plan.views import PlanSettings, Refusal
from nicplug.plan.vmi.plan_vmi import plan_vmi

NO_CONTROLLER = DynamicController(state=ControllerState.NOT_DEPLOYED)
MIGRATABLE = {"type": "LiveMigratable", "status": "True"}
BLUE, RED = nic("blue"), nic("red")
NADS = [nad("blue-net"), nad("red-net"), nad("other")]


def plan(
    *nics: Nic,
    migrations: tuple[Json, ...] = (),
    records: tuple[Json, ...] = (),
    pods: tuple[Json, ...] = (),
    **view: Any,
) -> Plan:
    """Of a migratable VMI with these NICs, none of which it has."""
    raw = vmi(primary(), *nics, rows=[primary_row()], operations=records, conditions=[MIGRATABLE])
    asked = pod(networks=[element(interface["name"]) for interface, _ in nics])
    facts = {
        "controller": NO_CONTROLLER,
        "nads": NADS,
        "report_pending_since": later(-60),
        "spec_seen_at": later(-60),
        **view,
    }
    return plan_vmi(vmi_view(raw, *(pods or (asked,)), migrations=migrations, **facts), now=NOW)


def made(found: Plan) -> Json | None:
    """The migration that is made."""
    creates = [item for item in found.actions if isinstance(item, Create) and item.kind is Kind.MIGRATION]
    assert len(creates) < 2
    body: Json | None = thaw(creates[0].body) if creates else None
    return body


def made_for(*nics: Nic) -> str:
    """The annotation of the migration for these NICs."""
    body = made(plan(*nics))
    assert body is not None
    text = body["metadata"]["annotations"]["nicplug.io/interfaces"]
    assert isinstance(text, str)
    return text


def records_of(found: Plan) -> dict[str, Json]:
    """As they are written."""
    patches = [item for item in found.actions if isinstance(item, PatchStatus)]
    rows = [row for patch in patches for row in thaw(patch.wanted).get("interfaceOperations") or []]
    return {row["name"]: row for row in rows}


def own(phase: str, *nics: Nic, number: int = 1, reason: str = "TargetPodLost", message: str = "it broke") -> Json:
    """A migration of nicplug's for these NICs."""
    condition = Condition(type="Progressing", status="False", reason=reason, message=message)
    return migration(
        phase,
        name=f"kubevirt-workload-update-{number}",
        uid=f"uid-{number}",
        status={"conditions": merge_condition([], condition, now=NOW)},
        annotations={"kubevirt.io/workloadUpdateMigration": "", "nicplug.io/interfaces": made_for(*nics)},
        ownerReferences=[owner("VirtualMachineInstance", NAME, VMI_UID)],
        creationTimestamp="2026-01-02T03:04:00Z",
    )


def failures(count: int, *nics: Nic, **ended: str) -> tuple[Json, ...]:
    """So many that failed."""
    return tuple(own("Failed", *nics, number=number, **ended) for number in range(1, count + 1))


def test_it_says_for_which_nics_it_was_made() -> None:
    body = made(plan(BLUE, RED))
    assert body is not None
    assert set(changes_of(a_migration(body | {"metadata": {**body["metadata"], "uid": "x"}}))) == {"blue", "red"}


@pytest.mark.parametrize(
    ("count", "is_made"), [(0, True), (1, True), (4, True), (5, False), (6, False)], ids="after {} failures".format
)
def test_five_failures_are_enough(count: int, is_made: bool) -> None:
    found = plan(BLUE, migrations=failures(count, BLUE))
    assert (made(found) is not None) is is_made
    record = records_of(found)["blue"]
    assert len(record.get("migrationFailures", {}).get("migrations", [])) == count
    if count and is_made:
        times = "once" if count == 1 else f"{count} times"
        assert (record["phase"], record["reason"]) == ("Migrating", Reason.MIGRATION_FAILED)
        assert f"migrating failed {times}: it broke; it is retried with back-off" in record["message"]
    if not is_made:
        assert (record["path"], record["phase"], record["reason"]) == ("Migration", "Failed", Reason.MIGRATION_FAILED)
        assert "It is tried again when the NIC, or what failed, changes" in record["message"]


def test_the_name_of_the_next_try_is_set_apart() -> None:
    waiting = own("Pending", BLUE, number=3)
    message = records_of(plan(BLUE, migrations=(*failures(2, BLUE), waiting)))["blue"]["message"]
    assert f"it is retried with back-off by {waiting['metadata']['name']}" in message


def test_the_name_of_the_next_try_is_set_apart_also_when_it_is_made() -> None:
    found = plan(BLUE, migrations=failures(2, BLUE))
    (create,) = [action for action in found.actions if isinstance(action, Create)]
    reported = f"it is retried with back-off by {create.key.name}"
    assert records_of(found)["blue"]["message"].endswith(reported)
    (event,) = [item for item in found.announcements if item.reason == "InterfaceMigrating"]
    assert event.message.endswith(reported)


BROKEN = {"reason": "TargetPodNotReady", "message": "target pod p did not run within 15m0s"}


def test_a_broken_network_never_migrates_a_vm_twice() -> None:
    """Nobody knew that it was broken; the target pod could not start with it."""
    found = plan(BLUE, migrations=failures(1, BLUE, **BROKEN))
    assert made(found) is None
    record = records_of(found)["blue"]
    assert (record["path"], record["phase"], record["reason"]) == ("Migration", "Failed", Reason.MIGRATION_FAILED)
    assert "migrating failed once: target pod p did not run within 15m0s" in record["message"]
    # Nor when somebody has cleaned up, or another operator looks.
    assert made(plan(BLUE, records=(record,))) is None
    assert made(plan(BLUE, RED, records=(record,))) is not None


SHARED = failures(1, BLUE, RED, **BROKEN)


def riders(found: Plan) -> set[str]:
    """The NICs that the next migration is made for."""
    body = made(found)
    return set(json.loads(body["metadata"]["annotations"]["nicplug.io/interfaces"])) if body is not None else set()


def after(*earlier: Json, records: tuple[Json, ...] = (), nics: tuple[Nic, ...] = (BLUE, RED), **view: Any) -> Plan:
    return plan(*nics, migrations=earlier, records=records, **view)


def test_nics_whose_migration_failed_are_tried_apart() -> None:
    """Nobody can tell for which of them the target pod did not start: each fails on evidence of its own."""
    found = after(*SHARED)
    assert riders(found) == {"blue"}
    records = records_of(found)
    assert {records[name]["phase"] for name in ("blue", "red")} <= {"Migrating", "Pending"}
    assert "nobody can tell for which of its NICs, so each is tried by itself" in records["red"]["message"]
    assert [item["message"] for item in records.values() if "by itself by" in item["message"]] == []
    # Also when the migration has been deleted, or another operator looks.
    assert riders(after(records=tuple(records.values()))) == {"blue"}


def test_a_nic_that_the_failure_names_is_the_only_one_that_has_failed() -> None:
    """The kubelet's event names its network: the others need no migration apart."""
    (named,) = failures(1, BLUE, RED, nic("green"), **BROKEN)
    named["status"]["interfacesAtFault"] = ["blue"]
    nads = [*NADS, nad("green-net")]
    found = after(named, nics=(BLUE, RED, nic("green")), nads=nads)
    assert riders(found) == {"red", "green"}
    assert records_of(found)["blue"]["phase"] == "Failed"
    rollback = HotplugPolicy(on_failure=OnFailure.ROLLBACK)
    found = after(named, nics=(BLUE, RED, nic("green")), nads=nads, policy=rollback)
    assert records_of(found)["blue"]["reason"] == Reason.ROLLED_BACK
    assert riders(found) == {"red", "green"}


def test_a_broken_network_takes_no_healthy_nic_with_it() -> None:
    alone = own("Failed", BLUE, number=2, **BROKEN)
    found = after(*SHARED, alone)
    assert riders(found) == {"red"}
    assert records_of(found)["blue"]["phase"] == "Failed"
    assert "migrating failed 2 times" in records_of(found)["blue"]["message"]


def test_two_broken_networks_are_given_up_each_by_itself() -> None:
    found = after(*SHARED, own("Failed", BLUE, number=2, **BROKEN), own("Failed", RED, number=3, **BROKEN))
    assert made(found) is None
    assert {row["phase"] for row in records_of(found).values()} == {"Failed"}


def test_a_nic_beside_those_that_are_tried_apart_is_served_first() -> None:
    nics = (BLUE, RED, nic("green"))
    nads = [*NADS, nad("green-net")]
    assert riders(after(*SHARED, nics=nics, nads=nads)) == {"green"}


def test_what_time_mends_lets_the_next_one_have_its_turn() -> None:
    """By itself, though: it is still not known to be in order."""
    found = after(*SHARED, own("Failed", BLUE, number=2))
    assert riders(found) == {"red"}
    found = after(*SHARED, own("Failed", BLUE, number=2), own("Failed", RED, number=3))
    assert riders(found) == {"blue"}


def test_a_nic_that_has_to_wait_for_its_turn_says_after_what() -> None:
    going = own("Pending", BLUE, number=2)
    found = after(*SHARED, going)
    assert not annotated(found)
    assert (records_of(found)["red"]["phase"], records_of(found)["red"]["path"]) == ("Pending", "Migration")
    assert "after kubevirt-workload-update-2" in records_of(found)["red"]["message"]
    pods = (
        pod(networks=[element("blue"), element("red")]),
        target_pod(migration_uid="uid-2", networks=[element("blue")]),
    )
    found = after(*SHARED, own("Scheduling", BLUE, number=2), pods=pods)
    assert records_of(found)["red"]["reason"] == Reason.AFTER_MIGRATION
    assert "which was made without it" in records_of(found)["red"]["message"]


def test_a_corrected_nic_rides_with_others_again() -> None:
    corrected = nic("blue", attachment="other")
    asked = pod(networks=[element("blue", attachment="other"), element("red")])
    found = after(*SHARED, nics=(corrected, RED), pods=(asked,))
    assert riders(found) == {"blue"}, "red's failure stands: it is still tried by itself"


def test_a_healthy_nic_is_not_taken_back_with_a_broken_one() -> None:
    rollback = HotplugPolicy(on_failure=OnFailure.ROLLBACK)
    assert {row["phase"] for row in records_of(after(*SHARED, policy=rollback)).values()} <= {"Pending", "Migrating"}
    records = records_of(after(*SHARED, own("Failed", BLUE, number=2, **BROKEN), policy=rollback))
    assert (records["blue"]["reason"], records["red"]["phase"] != "Failed") == (Reason.ROLLED_BACK, True)


def test_a_nic_that_left_before_the_target_pod_was_made_is_not_in_the_annotation() -> None:
    """Else it would not be known that the other one had the pod for itself."""
    pending = own("Pending", BLUE, RED)
    (change,) = annotated(plan(BLUE, migrations=(pending,)))
    assert causes_in(change) == made_for(BLUE)


@pytest.mark.parametrize("view", [{"nads": []}, {"attachments": NOT_INSTALLED}], ids=["no such NAD", "no Multus"])
def test_a_network_that_is_known_to_be_missing_never_migrates_a_vm(view: dict[str, Any]) -> None:
    assert made(plan(BLUE, **view)) is None


def test_a_corrected_network_is_tried_at_once() -> None:
    record = records_of(plan(BLUE, migrations=failures(1, BLUE, **BROKEN)))["blue"]
    mended = [nad("blue-net", config='{"type": "macvlan"}')]
    assert made(plan(BLUE, migrations=failures(1, BLUE, **BROKEN), records=(record,), nads=mended)) is not None


def test_a_corrected_device_of_a_network_is_tried_at_once() -> None:
    """Its annotation `k8s.v1.cni.cncf.io/resourceName`: the target pod asked for nothing that a node has."""
    fast = nic("blue", binding="sriov")
    mistyped, corrected = nad("blue-net"), nad("blue-net")
    mistyped["metadata"]["annotations"] = {"k8s.v1.cni.cncf.io/resourceName": "example.com/fsat"}
    corrected["metadata"]["annotations"] = {"k8s.v1.cni.cncf.io/resourceName": "example.com/fast"}
    (failed,) = failures(1, fast, **BROKEN)
    body = made(plan(fast, nads=[mistyped]))
    assert body is not None
    failed["metadata"]["annotations"] |= body["metadata"]["annotations"]
    before = plan(fast, nads=[mistyped], migrations=(failed,))
    record = records_of(before)["blue"]
    assert (made(before), record["phase"]) == (None, "Failed")
    assert made(plan(fast, nads=[corrected], migrations=(failed,), records=(record,))) is not None


def test_a_corrected_nic_is_tried_at_once() -> None:
    other = nic("blue", attachment="other")
    record = records_of(plan(BLUE, migrations=failures(1, BLUE, **BROKEN)))["blue"]
    asked = pod(networks=[element("blue", attachment="other")])
    found = plan(other, migrations=failures(1, BLUE, **BROKEN), records=(record,), pods=(asked,))
    assert made(found) is not None
    assert "migrationFailures" not in records_of(found)["blue"]


def test_where_a_controller_runs_it_goes_on_being_asked_after_the_migrations_have_failed() -> None:
    record = operation("blue", attempts=4, waitingSince=later(-30), lastAttemptTime=later(-1), observedGeneration=1)
    migrations = failures(1, BLUE, **BROKEN)
    found = plan(BLUE, migrations=migrations, records=(record,), controller=CONTROLLER, failures=[failed("blue")])
    assert made(found) is None
    reported = records_of(found)["blue"]
    assert (reported["path"], reported["phase"], reported["reason"]) == ("Dynamic", "Failed", Reason.ATTACH_FAILED)
    assert "migrating failed once" in reported["message"]
    assert reported["nextAttemptTime"] == "2026-01-02T03:06:04.678000Z"


def test_a_migration_that_keeps_still_after_others_have_failed_says_until_when_in_the_record() -> None:
    """The time stood in the words of the migration alone."""
    ended = own("Failed", BLUE)
    ended["status"]["phaseTransitionTimestamps"] = [
        {"phase": phase, "phaseTransitionTimestamp": "2026-01-02T03:04:00Z"} for phase in ("Pending", "Failed")
    ]
    record = records_of(plan(BLUE, migrations=(ended, own("Pending", BLUE, number=2))))["blue"]
    assert (record["phase"], record["nextAttemptTime"]) == ("Migrating", "2026-01-02T03:04:20.000000Z")


def test_a_migration_that_keeps_still_after_many_says_until_when_in_the_record() -> None:
    ended = [own("Succeeded", BLUE, number=number) for number in range(1, 5)]
    for item in ended:
        item["status"]["phaseTransitionTimestamps"] = [
            {"phase": phase, "phaseTransitionTimestamp": "2026-01-02T03:04:00Z"}
            for phase in ("Pending", "PreparingTarget", "Succeeded")
        ]
    waiting = own("Pending", BLUE, number=5)
    waiting["metadata"]["creationTimestamp"] = "2026-01-02T03:04:01Z"
    record = records_of(plan(BLUE, migrations=(*ended, waiting)))["blue"]
    assert (record["phase"], record["nextAttemptTime"]) == ("Migrating", "2026-01-02T03:05:00.000000Z")


def test_what_was_deleted_still_counts() -> None:
    """The newest five migrations are kept, a user's too."""
    record = records_of(plan(BLUE, migrations=failures(4, BLUE)))["blue"]
    assert made(plan(BLUE, records=(record,), migrations=(own("Failed", BLUE, number=5),))) is None


def causes_in(change: PatchAnnotations) -> str:
    return str(thaw(change.wanted)["nicplug.io/interfaces"])


def annotated(found: Plan) -> list[PatchAnnotations]:
    return [item for item in found.actions if isinstance(item, PatchAnnotations)]


def test_a_nic_that_is_asked_for_while_one_waits_comes_with_it() -> None:
    pending = own("Pending", BLUE)
    found = plan(BLUE, RED, migrations=(pending,))
    assert made(found) is None
    (change,) = annotated(found)
    assert (change.key.name, causes_in(change)) == ("kubevirt-workload-update-1", made_for(BLUE, RED))
    pending["metadata"]["annotations"]["nicplug.io/interfaces"] = causes_in(change)
    assert not annotated(plan(BLUE, RED, migrations=(pending,)))
    assert {record["migration"] for record in records_of(found).values()} == {"kubevirt-workload-update-1"}


def test_a_nic_that_is_asked_for_while_its_target_pod_waits_comes_with_the_pod_that_takes_its_place() -> None:
    moving = own("Scheduling", BLUE)
    without = target_pod(migration_uid="uid-1", networks=[element("blue")], ready=False)
    source = pod(networks=[element("blue"), element("red")])
    found = plan(BLUE, RED, migrations=(moving,), pods=(source, without))
    (change,) = annotated(found)
    assert causes_in(change) == made_for(BLUE, RED)
    assert records_of(found)["red"]["phase"] == "Migrating"


def test_what_a_target_pod_was_made_for_stays_while_it_waits() -> None:
    """It may fail of a NIC that has been taken away since."""
    moving = own("Scheduling", BLUE, RED)
    made_with = target_pod(migration_uid="uid-1", networks=[element("blue"), element("red")], ready=False)
    assert not annotated(plan(BLUE, migrations=(moving,), pods=(pod(networks=[element("blue")]), made_with)))


def test_a_nic_that_is_asked_for_too_late_is_not_said_to_come_with_it() -> None:
    moving = own("Scheduling", BLUE)
    moving["status"] = {**moving["status"], "conditions": [], "targetPodRenewal": {"count": 5, "replacedPods": []}}
    without = target_pod(migration_uid="uid-1", networks=[element("blue")], ready=False)
    source = pod(networks=[element("blue")])
    found = plan(BLUE, RED, migrations=(moving,), pods=(source, without))
    assert not annotated(found)
    assert records_of(found)["red"]["reason"] == Reason.AFTER_MIGRATION


def test_a_network_that_is_corrected_when_the_target_pod_was_just_made_is_not_what_it_is_for() -> None:
    """The migration's own status does not say yet that there is a pod; the next one is to be for the corrected one."""
    mended = [nad("blue-net", config='{"type": "macvlan"}')]
    assert annotated(plan(BLUE, migrations=(own("Pending", BLUE),), nads=mended)), "before there is one"
    pods = (pod(networks=[element("blue")]), target_pod(migration_uid="uid-1", networks=[element("blue")], ready=False))
    assert not annotated(plan(BLUE, migrations=(own("Pending", BLUE),), nads=mended, pods=pods))


def test_what_failed_before_it_was_asked_for_is_not_held_against_a_nic() -> None:
    """The node agents have said that it failed, the migration's own watch is late: RED waits for the next one."""
    state = migration_state(migration_uid="uid-1", failed=True, completed=True)
    raw = vmi(primary(), BLUE, RED, rows=[primary_row()], conditions=[MIGRATABLE], moving=state)
    pods = (pod(networks=[element("blue"), element("red")]), target_pod(migration_uid="uid-1", phase="Succeeded"))
    for pods_left in (pods, pods[:1]):
        view = vmi_view(
            raw,
            *pods_left,
            migrations=(own("Pending", BLUE),),
            controller=NO_CONTROLLER,
            nads=NADS,
            spec_seen_at=later(-60),
        )
        found = plan_vmi(view, now=NOW)
        assert not annotated(found)


WINDOW = PlanSettings().batch_window


@pytest.mark.parametrize(("windows", "is_made"), [(0.0, False), (0.5, False), (1.0, True)])
def test_nics_that_are_asked_for_together_come_together(windows: float, is_made: bool) -> None:
    spec_seen_at = NOW - windows * WINDOW
    found = plan(BLUE, spec_seen_at=spec_seen_at)
    assert (made(found) is not None) is is_made
    if not is_made:
        assert found.again_at == spec_seen_at + WINDOW


@pytest.mark.parametrize(("windows", "is_made"), [(4.5, False), (5.0, True), (9.0, True)])
def test_however_many_nics_come_one_by_one_the_first_does_not_wait_for_ever(windows: float, is_made: bool) -> None:
    """The spec has changed just now, as it has again and again since the first NIC was asked for."""
    asked_at = NOW - windows * WINDOW
    found = plan(BLUE, RED, spec_seen_at=NOW, records=(operation("blue", path="Migration", since=asked_at),))
    assert (made(found) is not None) is is_made
    if not is_made:
        assert found.again_at == asked_at + 5 * WINDOW


def test_nobody_comes_with_one_that_is_being_cancelled() -> None:
    leaving = own("Pending", BLUE)
    leaving["metadata"]["deletionTimestamp"] = "2026-01-02T03:04:05Z"
    assert not annotated(plan(BLUE, RED, migrations=(leaving,)))


def test_a_migration_of_a_user_is_left_as_it_was_made() -> None:
    assert not annotated(plan(BLUE, RED, migrations=(migration("Pending"),)))


def test_a_refusal_of_the_api_server_is_no_reason_to_take_a_migration_back() -> None:
    """Of a write for the VM: it hides what the NICs want, and passes."""
    refusal = Refusal(reason=Reason.FAILED_POD_PATCH, message="no")
    found = plan(BLUE, migrations=(own("Pending", BLUE),), vm_refusal=refusal)
    assert not [item for item in found.actions if isinstance(item, Delete)]
    gone = plan(BLUE, migrations=(own("Pending", BLUE),), nads=[])
    assert [item.kind for item in gone.actions if isinstance(item, Delete)] == [Kind.MIGRATION]


@pytest.mark.parametrize(
    "over", [{}, {"completed": True}, {"failed": True, "completed": True}], ids=["handed off", "arrived", "failed"]
)
def test_a_migration_that_is_over_was_deleted_as_one_that_nobody_needs(over: dict[str, Any]) -> None:
    """The guest has its NIC, and the migration was heard of as Scheduling still: its history was lost."""
    state = migration_state(migration_uid="uid-1", **over)
    raw = vmi(primary(), rows=[primary_row()], conditions=[MIGRATABLE], moving=state)
    pods = (pod(networks=[]), target_pod(migration_uid="uid-1", networks=[]))
    view = vmi_view(raw, *pods, migrations=(own("Scheduling", BLUE),), controller=NO_CONTROLLER, nads=NADS)
    assert not [item for item in plan_vmi(view, now=NOW).actions if isinstance(item, Delete)]


def test_a_definition_that_is_not_known_now_changes_nothing() -> None:
    """An operator that has just started, or lost its rights, does not write."""
    assert not annotated(plan(BLUE, migrations=(own("Pending", BLUE),), nads=None))


class TestOneThatIsDoomed:
    """Its target pod cannot start, and was made with what is not wanted any more."""

    OWN: ClassVar[dict[str, Any]] = {
        "name": "kubevirt-workload-update-0123456789",
        "annotations": {"kubevirt.io/workloadUpdateMigration": ""},
        "ownerReferences": [owner("VirtualMachineInstance", NAME, VMI_UID)],
    }

    def _taken_back(self, *nics: Nic, progressing: str = "False", of: tuple[str, ...] = ("blue", "red")) -> bool:
        reported = [{"type": "Progressing", "status": progressing, "reason": "TargetPodSandboxFailed"}]
        own = migration("Scheduling", status={"conditions": reported}, **self.OWN)
        target = target_pod(networks=[element(name) for name in of], ready=False, phase="Pending")
        found = plan(*nics, migrations=(own,), pods=(pod(networks=[]), target))
        assert made(found) is None
        return any(isinstance(item, Delete) and item.kind is Kind.MIGRATION for item in found.actions)

    def test_a_nic_that_was_taken_back_does_not_keep_the_others_waiting(self) -> None:
        assert self._taken_back(absent("blue"), RED)
        assert self._taken_back(RED)

    def test_nor_does_a_network_that_was_corrected(self) -> None:
        assert self._taken_back(nic("blue", attachment="other"), RED)

    def test_one_that_gets_on_goes_on(self) -> None:
        assert not self._taken_back(absent("blue"), RED, progressing="True")

    def test_one_that_brings_what_is_wanted_has_its_time(self) -> None:
        assert not self._taken_back(BLUE, RED)
        assert not self._taken_back(BLUE, RED, nic("green"))


@pytest.mark.parametrize(("of", "phase"), [(("blue",), "Migrating"), ((), "Pending")], ids=["brings it", "does not"])
def test_while_the_target_of_a_migration_that_is_gone_lives_no_other_is_made(of: tuple[str, ...], phase: str) -> None:
    """One was made, and taken back in the next pass, as it could not go: for ever."""
    raw = vmi(primary(), BLUE, rows=[primary_row()], conditions=[MIGRATABLE], moving=migration_state())
    target = target_pod(networks=[element(name) for name in of])
    view = vmi_view(raw, pod(networks=[]), target, controller=NO_CONTROLLER, nads=NADS, spec_seen_at=later(-60))
    found = plan_vmi(replace(view, report_pending_since=later(-60)), now=NOW)
    assert made(found) is None
    assert records_of(found)["blue"]["phase"] == phase


class TestInAPhaseThatNobodyHereCarriesOn:
    """Of a migration between clusters, of a later KubeVirt, or written by hand."""

    @pytest.mark.parametrize("phase", ["WaitingForSync", "Synchronizing", "Unknown", "SomethingNew"])
    def test_it_is_said_who_holds_the_nics_and_what_to_do(self, phase: str) -> None:
        """They were Migrating by it, without a reason and without an end."""
        held = migration(phase, name="from-elsewhere")
        found = plan(BLUE, migrations=(held,))
        record = records_of(found)["blue"]
        assert made(found) is None
        assert (record["path"], record["phase"], record["reason"]) == ("Migration", "Blocked", Reason.FOREIGN_MIGRATION)
        assert f"from-elsewhere of the VM is in phase {phase}, which nicplug does not carry on" in record["message"]
        assert record["remedy"] == "If nobody else carries on migration from-elsewhere, delete it"
        assert not record.get("migration")
        again = plan(BLUE, migrations=(held,), records=(record,))
        assert (again.announcements, records_of(again)) == ((), {})

    def test_a_nic_that_a_controller_brings_in_place_is_not_held_up(self) -> None:
        held = migration("WaitingForSync", name="from-elsewhere")
        assert records_of(plan(BLUE, migrations=(held,), controller=CONTROLLER))["blue"]["path"] == "Dynamic"

    def test_though_the_node_agents_are_through_with_it_it_holds_up_the_next(self) -> None:
        done: Json = {"completed": True, "targetNodeDomainReadyTimestamp": "2026-01-02T03:04:03Z"}
        state = migration_state(migration_uid="uid-1", **done)
        raw = vmi(primary(), BLUE, rows=[primary_row()], conditions=[MIGRATABLE], moving=state)
        held = migration("SomethingNew", uid="uid-1")
        facts: dict[str, Any] = {"controller": NO_CONTROLLER, "nads": NADS, "spec_seen_at": later(-60)}
        view = vmi_view(
            raw, pod(networks=[element("blue")]), migrations=(held,), report_pending_since=later(-60), **facts
        )
        assert records_of(plan_vmi(view, now=NOW))["blue"]["reason"] == Reason.FOREIGN_MIGRATION

    def test_one_whose_target_pod_brings_it_may_be_waited_for(self) -> None:
        """Somebody wrote over the phase of one that goes on: what it brings is on its way."""
        held = migration("SomethingNew")
        target = target_pod(networks=[element("blue")])
        found = plan(BLUE, migrations=(held,), pods=(pod(networks=[]), target))
        record = records_of(found)["blue"]
        assert record["phase"] == "Migrating"
        assert "(it is in phase SomethingNew, which nicplug does not carry on" in record["message"]

    def test_one_that_is_being_deleted_is_seen_off(self) -> None:
        held = migration("WaitingForSync", deleting=True)
        found = plan(BLUE, migrations=(held,))
        assert made(found) is None
        assert records_of(found)["blue"]["reason"] == Reason.NO_DYNAMIC_CONTROLLER


class TestTheNameOfTheNext:
    """Whoever makes it, and whatever somebody has written on those before, two leaders come to one, and it is free."""

    @staticmethod
    def _after(*ended: Json) -> str:
        body = made(plan(BLUE, migrations=ended))
        assert body is not None
        name: str = body["metadata"]["name"]
        assert name not in {item["metadata"]["name"] for item in ended}
        return name

    @staticmethod
    def _ended(name: str, uid: str = "uid-of-the-first") -> Json:
        marked = own("Succeeded", BLUE)
        return marked | {"metadata": marked["metadata"] | {"name": name, "uid": uid}}

    @pytest.mark.parametrize("lost", ["kubevirt.io/workloadUpdateMigration", "ownerReferences", "both"])
    def test_a_migration_that_has_lost_what_says_whose_it_is_does_not_block_the_next(self, lost: str) -> None:
        """The NIC waited for ever for a migration that nobody made, as its name was taken."""
        marked = self._ended(self._after())
        unmarked = marked | {"metadata": {**marked["metadata"], "annotations": {**marked["metadata"]["annotations"]}}}
        if lost != "ownerReferences":
            del unmarked["metadata"]["annotations"]["kubevirt.io/workloadUpdateMigration"]
        if lost in ("ownerReferences", "both"):
            unmarked["metadata"]["ownerReferences"] = []
        assert self._after(unmarked) == self._after(marked), "of two leaders one may not have heard of it yet"

    def test_a_migration_on_its_way_out_does_not_block_the_next(self) -> None:
        leaving = self._ended(self._after())
        leaving["metadata"] |= {"deletionTimestamp": "2026-01-02T03:04:05Z", "ownerReferences": []}
        assert self._after(leaving)

    def test_a_migration_for_an_earlier_vmi_of_the_name_is_not_what_it_comes_after(self) -> None:
        """It goes with that VMI, and may be gone for one leader and not for the other."""
        earlier = self._ended("kubevirt-workload-update-0123456789")
        earlier["metadata"]["ownerReferences"] = [owner("VirtualMachineInstance", NAME, "uid of an earlier one")]
        assert self._after(earlier) == self._after()

    def test_whoever_has_taken_the_name_of_the_first_does_not_block_it(self) -> None:
        taken = self._ended(self._after())
        taken["metadata"]["ownerReferences"] = [owner("VirtualMachineInstance", NAME, "uid of an earlier one")]
        assert self._after(taken)

    def test_names_that_are_all_taken_leave_one_more(self) -> None:
        ended: list[Json] = []
        for number in range(6):
            unmarked = self._ended(self._after(*ended), uid=f"uid {number}")
            unmarked["metadata"]["annotations"] = {}
            ended.append(unmarked)
        assert len({item["metadata"]["name"] for item in ended}) == 6
