"""Which pods count: only those that nicplug has made, whatever the others look like (finding "pod impersonation")."""

from dataclasses import dataclass, replace
from typing import Any

import pytest
from tests.build import (
    CREATED,
    MIGRATION_UID,
    NAMESPACE,
    NODE,
    NOW,
    POD_NAME,
    POD_UID,
    TARGET_NODE,
    TARGET_POD_UID,
    Json,
    a_migration,
    a_pod,
    a_vmi,
    later,
    migration,
    migration_state,
    pod,
    target_pod,
    vmi,
    vmi_view,
)
from tests.unit.plan.outcome import status_of

from nicplug.cache.launcher_pods import gather_records
from nicplug.model.frozen_json import thaw
from nicplug.model.keys import PodKey
from nicplug.model.pod import PodRecord
from nicplug.plan.actions import CheckUnchanged, ConfirmPod, Create, Delete
from nicplug.plan.views import VmiView
from nicplug.plan.vmi.own_pods import may_be_made_by_nicplug, pods_to_record, sort_out
from nicplug.plan.vmi.plan_vmi import plan_vmi

EVIL = "evil"
DIGEST = {"nicplug.io/pod-spec": "0123456789abcdef"}
TARGET_NAME = target_pod()["metadata"]["name"]
RECORD = {"name": POD_NAME, "uid": POD_UID}
TARGET_RECORD = {"name": TARGET_NAME, "uid": TARGET_POD_UID}
MADE = PodRecord(key=PodKey(NAMESPACE, POD_NAME), uid=POD_UID)
MADE_TARGET = PodRecord(key=PodKey(NAMESPACE, TARGET_NAME), uid=TARGET_POD_UID, migration_uid=MIGRATION_UID)


def reported(raw: Json, *rows: Json, active: dict[str, str] | None = None) -> Json:
    """A VMI whose status records these pods."""
    status = raw.setdefault("status", {})
    status["launcherPods"] = list(rows)
    status["activePods"] = {row["uid"]: NODE for row in rows} if active is None else active
    return raw


def counted(raw: Json, **active: str) -> Json:
    """A VMI as a version without a record has left it."""
    raw["status"]["activePods"] = active
    return raw


@dataclass(frozen=True, kw_only=True)
class Case:
    name: str
    vmi: Json
    pods: tuple[Json, ...]
    own: set[str]
    migrations: tuple[Json, ...] = ()
    made: tuple[PodRecord, ...] = ()

    def __str__(self) -> str:
        return self.name


SQUATTER = pod(uid=EVIL, annotations={**DIGEST})
TARGET_SQUATTER = target_pod(uid=EVIL, annotations={**DIGEST})
ORDINARY = pod(uid=EVIL, name="web-0", labels={"kubevirt.io": "virt-launcher"})
STARTING, RUNNING = vmi(phase="Pending"), reported(vmi(), RECORD)
RENEWED: Json = reported(vmi(phase="Pending"), {"name": "virt-launcher-vmi-fedora-00000", "uid": "gone"})
QUEUED = migration("Pending")
ON_ITS_WAY = migration("Scheduling", status={"targetPod": TARGET_RECORD})
HAD_A_TARGET = {"phaseTransitionTimestamps": [{"phase": "Scheduling", "phaseTransitionTimestamp": CREATED}]}
MOVED = counted(vmi(node=TARGET_NODE, moving=migration_state(completed=True)), **{TARGET_POD_UID: TARGET_NODE})

CASES = [
    Case(name="made before it was recorded", vmi=STARTING, pods=(pod(),), made=(MADE,), own={POD_UID}),
    Case(name="the name is taken first", vmi=STARTING, pods=(SQUATTER,), own=set()),
    Case(name="the same, and no phase yet", vmi=vmi(phase=""), pods=(SQUATTER,), own=set()),
    Case(name="recreated in place of ours before the record", vmi=STARTING, pods=(SQUATTER,), made=(MADE,), own=set()),
    Case(name="recorded", vmi=RUNNING, pods=(pod(), SQUATTER), own={POD_UID}),
    Case(name="recreated in place of ours", vmi=RUNNING, pods=(SQUATTER,), own=set()),
    Case(name="an ordinary pod that was relabelled", vmi=RUNNING, pods=(pod(), ORDINARY), own={POD_UID}),
    Case(name="another leader has recorded his", vmi=reported(vmi(), {**RECORD, "uid": "other"}),
         pods=(pod(uid="other"), pod(name="b")), made=(MADE,), own={"other"}),
    Case(name="a pod that is recreated", vmi=RENEWED, pods=(pod(),), made=(MADE,), own={POD_UID}),
    Case(name="a target is squatted while it waits in the queue", vmi=RUNNING, pods=(pod(), TARGET_SQUATTER),
         migrations=(QUEUED,), own={POD_UID}),
    Case(name="a target that was made", vmi=RUNNING, pods=(pod(), target_pod()), migrations=(QUEUED,),
         made=(MADE_TARGET,), own={POD_UID, TARGET_POD_UID}),
    Case(name="a target that is recorded", vmi=RUNNING, pods=(pod(), target_pod()), migrations=(ON_ITS_WAY,),
         own={POD_UID, TARGET_POD_UID}),
    Case(name="recreated in place of the target", vmi=RUNNING, pods=(pod(), TARGET_SQUATTER), migrations=(ON_ITS_WAY,),
         own={POD_UID}),
    Case(name="another leader has recorded his target", vmi=RUNNING,
         pods=(pod(), target_pod(), target_pod(uid="other", name="b")),
         migrations=(migration("Scheduling", status={"targetPod": {"name": "b", "uid": "other"}}),),
         made=(MADE_TARGET,), own={POD_UID, "other"}),
    Case(name="upgrade: a running guest", vmi=counted(vmi(), **{POD_UID: NODE}), pods=(pod(),), own={POD_UID}),
    Case(name="upgrade: a guest of another controller's", vmi=counted(vmi(), theirs=NODE),
         pods=(pod(name="x", uid="theirs"), ORDINARY), own={"theirs"}),
    Case(name="deleted before it had a pod", vmi=vmi(phase="Failed", deleting=True), pods=(SQUATTER,), own=set()),
    Case(name="upgrade: a guest that has moved", vmi=MOVED, pods=(target_pod(), SQUATTER), own={TARGET_POD_UID}),
    Case(name="upgrade: an impostor that was counted", vmi=counted(vmi(), **{POD_UID: NODE, EVIL: NODE}),
         pods=(pod(), ORDINARY), own={POD_UID}),
    Case(name="upgrade: recreated in place of ours since", vmi=counted(vmi(), **{POD_UID: NODE}), pods=(SQUATTER,),
         own=set()),
    Case(name="upgrade: a migration in flight", vmi=counted(vmi(), **{POD_UID: NODE}), pods=(pod(), target_pod()),
         migrations=(migration("Scheduling"),), own={POD_UID, TARGET_POD_UID}),
    Case(name="upgrade: a migration that waits", vmi=counted(vmi(), **{POD_UID: NODE}), pods=(pod(), TARGET_SQUATTER),
         migrations=(QUEUED,), own={POD_UID}),
    Case(name="upgrade: a migration that waits, and no pod was counted", vmi=counted(vmi()),
         pods=(pod(), TARGET_SQUATTER), migrations=(QUEUED,), own={POD_UID}),
    Case(name="upgrade: a migration that never had a target", vmi=counted(vmi(), **{POD_UID: NODE}),
         pods=(pod(), TARGET_SQUATTER), migrations=(migration("Failed"),), own={POD_UID}),
    Case(name="upgrade: the same, and its name was counted", vmi=counted(vmi(), **{POD_UID: NODE, EVIL: NODE}),
         pods=(pod(), TARGET_SQUATTER), migrations=(migration("Failed"),), own={POD_UID}),
    Case(name="upgrade: the name of a migration that failed long ago is taken", vmi=RUNNING,
         pods=(pod(), TARGET_SQUATTER), migrations=(migration("Failed", status=HAD_A_TARGET, finalizers=[]),),
         own={POD_UID}),
    Case(name="upgrade: the name of a migration that succeeded long ago is taken", vmi=RUNNING,
         pods=(pod(), TARGET_SQUATTER), migrations=(migration("Succeeded", finalizers=[]),), own={POD_UID}),
    Case(name="upgrade: the same, and an earlier version of ours has counted it",
         vmi=reported(vmi(), RECORD, active={POD_UID: NODE, EVIL: TARGET_NODE}), pods=(pod(), TARGET_SQUATTER),
         migrations=(migration("Succeeded", finalizers=[]),), own={POD_UID}),
    Case(name="upgrade: the name is taken before a migration that failed is through with its pods", vmi=RUNNING,
         pods=(pod(), TARGET_SQUATTER), migrations=(migration("Failed", status=HAD_A_TARGET),), own={POD_UID}),
    Case(name="upgrade: the target of a migration that failed a moment before",
         vmi=counted(vmi(), **{POD_UID: NODE, TARGET_POD_UID: TARGET_NODE}), pods=(pod(), target_pod()),
         migrations=(migration("Failed", status=HAD_A_TARGET),), own={POD_UID, TARGET_POD_UID}),
    Case(name="upgrade: recreated in place of a target that was handed off",
         vmi=counted(vmi(moving=migration_state()), **{POD_UID: NODE, TARGET_POD_UID: TARGET_NODE}),
         pods=(pod(), TARGET_SQUATTER), migrations=(migration("Running"),), own={POD_UID}),
    Case(name="upgrade: a migration that was handed off",
         vmi=counted(vmi(moving=migration_state()), **{POD_UID: NODE, TARGET_POD_UID: TARGET_NODE}),
         pods=(pod(), target_pod()), migrations=(migration("Running"),), own={POD_UID, TARGET_POD_UID}),
    Case(name="upgrade: a guest that has moved, and its migration is kept to be read", vmi=MOVED,
         pods=(target_pod(), SQUATTER), migrations=(migration("Succeeded", finalizers=[]),), own={TARGET_POD_UID}),
    Case(name="rollback, a migration meanwhile, and forward again",
         vmi=reported(vmi(node=TARGET_NODE, moving=migration_state(completed=True)), RECORD,
                  active={TARGET_POD_UID: TARGET_NODE}),
         pods=(target_pod(),),  own={TARGET_POD_UID}),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_only_pods_that_nicplug_has_made_count(case: Case) -> None:
    record, jobs = a_vmi(case.vmi), [a_migration(item) for item in case.migrations]
    records = gather_records(record, jobs, case.made)
    own, foreign = sort_out(record, [a_pod(item) for item in case.pods], migrations=jobs, records=records)
    assert {item.uid for item in own} == case.own
    assert {item.uid for item in foreign} == {item["metadata"]["uid"] for item in case.pods} - case.own


@pytest.mark.parametrize(
    ("raw", "may_be"),
    [
        pytest.param(pod(annotations={**DIGEST}), True, id="looks as nicplug makes them"),
        pytest.param(pod(annotations={**DIGEST}, labels={}), True, id="somebody has taken its labels"),
        pytest.param(pod(), False, id="without what every pod of nicplug's is made with"),
        pytest.param(pod(annotations={"nicplug.io/pod-spec": "made up"}), False, id="no digest"),
        pytest.param(pod(annotations={**DIGEST}, owner_uid="other"), False, id="of another VMI"),
        pytest.param(pod(annotations={**DIGEST}, creationTimestamp="2025-12-31T00:00:00Z"), False, id="older"),
    ],
)
def test_what_may_be_a_pod_of_nicplugs_that_was_not_recorded(raw: Json, may_be: bool) -> None:
    assert may_be_made_by_nicplug(a_pod(raw), a_vmi(vmi(phase="Pending"))) is may_be


class TestStart:
    """The first pod, while somebody else's has its name."""

    def test_a_pod_that_is_certainly_foreign_is_passed_over_at_once(self) -> None:
        plan = plan_vmi(vmi_view(vmi(phase=""), foreign=[pod(uid=EVIL)]), now=NOW)
        (create,) = plan.actions
        assert isinstance(create, Create)
        assert create.key.name != POD_NAME
        assert [item.reason for item in plan.announcements] == ["SuccessfulCreate", "ForeignPod"]
        assert f"Pod {POD_NAME} was not made by nicplug" in plan.announcements[1].message

    def test_the_next_name_cannot_be_known_before(self) -> None:
        view = vmi_view(vmi(phase=""), foreign=[pod(uid=EVIL)])
        salts = [_with(view, name_salt=salt) for salt in ("a", "a", "b")]
        names = [
            create.key for item in salts for create in plan_vmi(item, now=NOW).actions if isinstance(create, Create)
        ]
        assert names[0] == names[1] != names[2]

    def test_names_that_are_taken_out_of_sight(self) -> None:
        key = PodKey(NAMESPACE, POD_NAME)
        (create,) = plan_vmi(vmi_view(vmi(phase=""), taken=frozenset({key})), now=NOW).actions
        again = vmi_view(vmi(phase=""), taken=frozenset({key, PodKey(NAMESPACE, create.key.name)}))
        (other,) = plan_vmi(again, now=NOW).actions
        assert isinstance(create, Create)
        assert isinstance(other, Create)
        assert len({key, create.key, other.key}) == 3

    def test_another_leader_has_time_to_record_his(self) -> None:
        """Its maker may have died before it was recorded, or be about to."""
        doubtful = pod(uid=EVIL, annotations={**DIGEST})
        view = vmi_view(vmi(phase=""), foreign=[doubtful], unrecorded={EVIL: NOW})
        plan = plan_vmi(view, now=later(4.9))
        assert plan.is_empty
        assert plan.again_at == later(5)

    def test_each_of_two_that_were_not_recorded_has_its_time(self) -> None:
        doubtful = [pod(uid=uid, name=uid, annotations={**DIGEST}) for uid in ("a", "b")]
        view = vmi_view(vmi(phase=""), foreign=doubtful, unrecorded={"a": NOW, "b": later(3)})
        assert plan_vmi(view, now=later(7.9)).again_at == later(8)

    def test_one_that_is_gone_is_not_waited_for(self) -> None:
        view = vmi_view(vmi(phase=""), foreign=[], unrecorded={EVIL: NOW})
        (create,) = plan_vmi(view, now=later(1)).actions
        assert isinstance(create, Create)

    def test_a_pod_that_nobody_records_is_deleted_and_another_made(self) -> None:
        view = vmi_view(vmi(phase=""), foreign=[pod(uid=EVIL, annotations={**DIGEST})], unrecorded={EVIL: NOW})
        check, delete, instead = plan_vmi(view, now=later(5)).actions
        assert isinstance(check, CheckUnchanged)
        assert isinstance(delete, Delete)
        assert delete.uid == EVIL
        assert isinstance(instead, Create)
        assert instead.key.name != POD_NAME
        going = pod(uid=EVIL, annotations={**DIGEST}, deleting=True)
        (create,) = plan_vmi(vmi_view(vmi(phase=""), foreign=[going], unrecorded={EVIL: NOW}), now=later(5)).actions
        assert isinstance(create, Create)
        assert create.key.name != POD_NAME

    def test_many_that_look_so_keep_no_vm_from_starting(self) -> None:
        """Only the first few are given time (`cache.made_pods`)."""
        view = vmi_view(vmi(phase=""), foreign=[pod(uid="4th", annotations={**DIGEST})], unrecorded={EVIL: NOW})
        assert Create in [type(action) for action in plan_vmi(view, now=later(1)).actions]

    def test_one_that_was_given_no_time_is_not_deleted_under_the_guest_of_another_leader(self) -> None:
        """Found by the simulation: between the check of the VMI and the deletion the other leader started the guest."""
        view = vmi_view(vmi(phase=""), foreign=[pod(uid="4th", annotations={**DIGEST})], unrecorded={EVIL: NOW})
        plan = plan_vmi(view, now=later(1))
        assert [type(action) for action in plan.actions] == [CheckUnchanged, Create]
        assert [item.reason for item in plan.announcements] == ["SuccessfulCreate", "ForeignPod"]


def _with(view: VmiView, **settings: Any) -> VmiView:
    return replace(view, settings=replace(view.settings, **settings))


class TestRecord:
    def test_it_comes_with_the_phase_that_has_a_pod(self) -> None:
        raw = vmi(phase="Pending")
        plan = plan_vmi(vmi_view(raw, pod(), foreign=[ORDINARY]), now=NOW)
        status = status_of(plan)
        assert status["phase"] == "Scheduled"
        assert status["launcherPods"] == [RECORD]
        assert status["activePods"] == {POD_UID: NODE}

    def test_an_upgrade_alone_writes_nothing(self) -> None:
        settled = counted(vmi(), **{POD_UID: NODE})
        settled["status"] |= _rest(settled)
        plan = plan_vmi(vmi_view(settled, pod(), report_pending_since=NOW), now=later(60))
        assert plan.is_empty
        assert plan.again_at is None

    def test_it_tells_for_which_migration_a_pod_was_made(self) -> None:
        view = vmi_view(
            reported(vmi(), RECORD), pod(), target_pod(), migrations=[ON_ITS_WAY], report_pending_since=later(-9)
        )
        rows = status_of(plan_vmi(view, now=NOW))["launcherPods"]
        assert rows == [RECORD, {**TARGET_RECORD, "migrationUid": MIGRATION_UID}]

    def test_a_pod_out_of_sight_stays_in_it_until_it_is_known_to_be_gone(self) -> None:
        raw = reported(vmi(), RECORD)
        plan = plan_vmi(vmi_view(raw, podless_since=None), now=NOW)
        (confirm,) = plan.actions
        assert isinstance(confirm, ConfirmPod)
        assert (confirm.keys, confirm.uids) == ((PodKey(NAMESPACE, POD_NAME),), frozenset({POD_UID}))
        lost = status_of(plan_vmi(vmi_view(raw, gone=frozenset({POD_UID})), now=NOW))
        assert lost["phase"] == "Failed"
        assert "launcherPods" not in lost, "without a record it would pass for a VMI of an earlier version"

    def test_a_pod_out_of_sight_stays_in_it_while_the_one_in_sight_is_going(self) -> None:
        """It may be the one that has the guest, and have lost its labels."""
        target = {**TARGET_RECORD, "migrationUid": MIGRATION_UID}
        raw = reported(vmi(moving=migration_state()), RECORD, target)
        view = vmi_view(raw, target_pod(deleting=True), podless_since=None, report_pending_since=later(-9))
        record = pods_to_record(view, pod=view.pods[0])
        assert [item.uid for item in record] == [POD_UID, TARGET_POD_UID]
        gone = replace(view, gone=frozenset({POD_UID}))
        assert [item.uid for item in pods_to_record(gone, pod=view.pods[0])] == [TARGET_POD_UID]

    @pytest.mark.parametrize("phase", ["Running", "Succeeded"])
    def test_both_pods_stay_in_it_while_a_migration_needs_them(self, phase: str) -> None:
        """The one that is out of sight may only have lost its labels."""
        target = {**TARGET_RECORD, "migrationUid": MIGRATION_UID}
        raw = reported(vmi(), RECORD, target, active={POD_UID: NODE, TARGET_POD_UID: TARGET_NODE})
        view = vmi_view(raw, pod(), migrations=[migration(phase)], report_pending_since=later(-9))
        assert "launcherPods" not in status_of(plan_vmi(view, now=NOW))

    def test_the_source_leaves_it_when_it_is_gone(self) -> None:
        target = {**TARGET_RECORD, "migrationUid": MIGRATION_UID}
        raw = reported(vmi(node=TARGET_NODE, moving=migration_state(completed=True)), RECORD, target)
        view = vmi_view(raw, target_pod(), gone=frozenset({POD_UID}), report_pending_since=later(-9))
        assert status_of(plan_vmi(view, now=NOW))["launcherPods"] == [target]


def _rest(raw: Json) -> Json:
    """The status of a VMI at rest, beside what it has."""
    status = thaw(a_vmi(raw).status_text)
    wanted = status_of(plan_vmi(vmi_view(raw, pod(), report_pending_since=later(-9)), now=NOW))
    wanted.pop("launcherPods", None)
    return {**status, **wanted}


def test_a_recreated_pod_of_a_running_guest_is_not_its_pod() -> None:
    """The guest is gone with the pod that nicplug has made; anyone who took its name does not become the VM."""
    view = vmi_view(reported(vmi(), RECORD), foreign=[SQUATTER], gone=frozenset({POD_UID}))
    status = status_of(plan_vmi(view, now=NOW))
    assert status["phase"] == "Failed"


def test_leftovers_are_deleted_beside_a_running_guest_and_others_are_left_alone() -> None:
    settled = reported(vmi(), RECORD)
    settled["status"] |= _rest(settled) | {"launcherPods": [RECORD]}
    doubtful = pod(name="b", uid=EVIL, annotations={**DIGEST}, creationTimestamp="2026-01-02T03:04:00Z")
    plan = plan_vmi(vmi_view(settled, pod(), foreign=[doubtful, pod(name="web-0", uid="web")]), now=later(180))
    check, delete = plan.actions
    assert isinstance(check, CheckUnchanged)
    assert isinstance(delete, Delete)
    assert delete.key.name == "b"


def test_one_look_alike_after_the_other_does_not_hold_a_vmi_that_is_deleted() -> None:
    """With each pass there is another one; those that are left go with their owner."""
    view = vmi_view(reported(vmi(deleting=True), RECORD), foreign=[pod(uid=EVIL, annotations={**DIGEST})])
    assert [type(action).__name__ for action in plan_vmi(view, now=NOW).actions] == ["PatchFinalizers", "Delete"]


def test_a_foreign_pod_does_not_hold_a_vmi_that_is_deleted() -> None:
    """It goes with its owner; a finalizer on it must not keep the VMI."""
    held = pod(uid=EVIL, annotations={**DIGEST}, deleting=True, finalizers=["evil/hold"])
    (action,) = plan_vmi(vmi_view(reported(vmi(deleting=True), RECORD), foreign=[held, ORDINARY]), now=NOW).actions
    assert type(action).__name__ == "PatchFinalizers"
