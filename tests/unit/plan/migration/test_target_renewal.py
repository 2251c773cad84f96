"""A target pod that the VM's NICs have run ahead of takes nobody anywhere: another one takes its place."""

from dataclasses import dataclass, replace
from typing import Any

import pytest
from tests.build import (
    MIGRATION_UID,
    NAME,
    NODE,
    NOW,
    TARGET_NODE,
    TARGET_POD_UID,
    VMI_UID,
    Json,
    absent,
    element,
    later,
    migration,
    migration_state,
    migration_view,
    nad,
    nic,
    node,
    operation,
    owner,
    pod,
    primary,
    primary_row,
    row,
    target_pod,
    vmi,
)
from tests.unit.plan.migration.outcome import condition, events, names, status

from nicplug.cache.launcher_pods import gather_records
from nicplug.model.frozen_json import thaw
from nicplug.model.slot_ledger import MigrationSlot
from nicplug.model.times import parse_time
from nicplug.plan.actions import CheckGuest, Create, Delete, PatchLabels, PatchMigrationState
from nicplug.plan.migration.facts import first_in_line
from nicplug.plan.migration.plan_migration import plan_migration
from nicplug.plan.migration.slots import MigrationPlan
from nicplug.plan.reasons import Reason
from nicplug.plan.views import MigrationView
from nicplug.plan.vmi.own_pods import next_target_key

OTHER_UID = "99999999-dddd-4000-8000-000000000009"
TARGET = target_pod()["metadata"]["name"]
NADS = [nad("blue-net"), nad("red-net"), nad("other")]
BLUE = nic("blue")
WITH_BLUE = target_pod(networks=[element("blue")], attached=["blue"])
PLUGGED = row("blue", "domain", "multus-status")
GRANTED = MigrationSlot(is_granted=True, inbound_node=TARGET_NODE)
STUCK: Json = {"conditions": [{"type": "Progressing", "status": "False", "reason": "TargetPodUnschedulable"}]}
LABELED: Json = {"labels": {"kubevirt.io/nodeName": NODE, "kubevirt.io/migrationTargetNodeName": TARGET_NODE}}


def renewed(*, count: int = 1, pods: tuple[str, ...] = (TARGET_POD_UID,), **members: Any) -> Json:
    """The status of a migration whose target pods were replaced."""
    replaced = [{"name": TARGET, "uid": uid} for uid in pods]
    return {"targetPodRenewal": {"count": count, "replacedPods": replaced, **members}}


def at(phase: str, status_: Json | None = None, **meta: Any) -> Json:
    """A migration in that phase, with its target pod recorded where it has one."""
    has_pod = phase not in ("", "Pending")
    recorded = {"targetPod": {"name": TARGET, "uid": TARGET_POD_UID}} if has_pod else {}
    return migration(phase, status={**recorded, **(status_ or {})}, **meta)


def guest(*nics: Any, rows: tuple[Json, ...] = (), **members: Any) -> Json:
    """A running VMI."""
    return vmi(primary(), *nics, rows=[primary_row(), *rows], **members)


def plan(of: Json, *pods: Json, job: Json | None = None, **view: Any) -> MigrationPlan:
    """What is planned while the target pod waits."""
    seen = {"slot": GRANTED, "nads": NADS, **view}
    return plan_migration(migration_view(job or at("Scheduled"), of, *pods, **seen), now=NOW)


def is_replaced(found: MigrationPlan) -> bool:
    """The target pod is given up, and nothing else is done."""
    written = status(found)
    return written.get("phase") == "Pending" and "targetPod" in written and written["targetPod"] is None


def is_handed_off(found: MigrationPlan) -> bool:
    """The VM goes to the target pod as it is."""
    return any(isinstance(item, PatchMigrationState) for item in found.actions)


@dataclass(frozen=True, kw_only=True)
class Case:
    """A target pod that is ready, unless `target` says otherwise, and what becomes of it."""

    title: str
    of: Json
    target: Json
    job: Json | None = None
    view: Json | None = None
    replaced: bool = True

    def __str__(self) -> str:
        return self.title


NEVER_MORE = renewed(count=5, pods=("a", "b", "c", "d", "e"))
CASES = [
    Case(
        title="it was made with all of them",
        of=guest(BLUE),
        target=WITH_BLUE,
        replaced=False,
    ),
    Case(
        title="a NIC was asked for after it was made",
        of=guest(BLUE),
        target=target_pod(),
    ),
    Case(
        title="the guest has got a NIC since",
        of=guest(BLUE, rows=(PLUGGED,)),
        target=target_pod(),
    ),
    Case(
        title="its node agent may plug one at any moment",
        of=guest(BLUE, rows=(row("blue", "multus-status"),)),
        target=target_pod(),
    ),
    Case(
        title="a NIC is to be on another network",
        of=guest(nic("blue", attachment="other"), rows=(PLUGGED,)),
        target=WITH_BLUE,
    ),
    Case(
        title="a NIC's MAC address was corrected",
        of=guest(nic("blue", mac="02:00:00:00:00:01")),
        target=WITH_BLUE,
    ),
    Case(
        title="a NIC is to go that the guest still has",
        of=guest(absent("blue"), rows=(PLUGGED,)),
        target=WITH_BLUE,
        replaced=False,
    ),
    Case(
        title="a NIC has left the guest since: it leaves the target after the move",
        of=guest(absent("blue")),
        target=WITH_BLUE,
        replaced=False,
    ),
    Case(
        title="the same, and the pod is stuck, perhaps for its network",
        of=guest(absent("blue")),
        target=target_pod(networks=[element("blue")], phase="Pending", ready=False),
        job=at("Scheduling", STUCK),
    ),
    Case(
        title="no node takes it",
        of=guest(BLUE),
        target=target_pod(node="", phase="Pending", ready=False),
        job=at("Scheduling", STUCK),
    ),
    Case(
        title="it starts",
        of=guest(BLUE),
        target=target_pod(phase="Pending", ready=False),
        job=at("Scheduling"),
    ),
    Case(
        title="it waits for its turn on that node",
        of=guest(BLUE),
        target=target_pod(),
        view={"slot": MigrationSlot(is_granted=True, reason="WaitingForSlot", message="1st in the queue")},
    ),
    Case(
        title="five were given up for NICs: the VM moves without it",
        of=guest(BLUE),
        target=target_pod(),
        job=at("Scheduled", NEVER_MORE),
        replaced=False,
    ),
    Case(
        title="five were given up, and this one is stuck: that costs nothing",
        of=guest(BLUE),
        target=target_pod(node="", phase="Pending", ready=False),
        job=at("Scheduling", NEVER_MORE | STUCK),
    ),
    Case(
        title="five were given up, and the guest has the NIC: the copy would fail",
        of=guest(BLUE, rows=(PLUGGED,)),
        target=target_pod(),
        job=at("Scheduled", NEVER_MORE),
    ),
    Case(
        title="the network is missing: no pod has it",
        of=guest(BLUE),
        target=target_pod(),
        view={"nads": []},
        replaced=False,
    ),
    Case(
        title="the network is missing, and the guest has the NIC",
        of=guest(BLUE, rows=(PLUGGED,)),
        target=target_pod(),
        view={"nads": []},
    ),
    Case(
        title="no new pod would find a node now",
        of=guest(BLUE),
        target=target_pod(),
        view={"nodes": [node(NODE), node(TARGET_NODE, unschedulable=True)]},
        replaced=False,
    ),
    Case(
        title="nobody can read what it was made with",
        of=guest(BLUE),
        target=target_pod(networks="["),
        replaced=False,
    ),
    Case(
        title="the migration is being cancelled",
        of=guest(BLUE),
        target=target_pod(),
        job=at("Scheduled", deleting=True),
        replaced=False,
    ),
    Case(
        title="it was rolled back, and no migration brings it",
        of=guest(BLUE, operations=[operation("blue", phase="Failed", reason="RolledBack")]),
        target=target_pod(),
        replaced=False,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_nic_that_is_asked_for_while_a_target_pod_waits(case: Case) -> None:
    found = plan(case.of, pod(networks=[element("blue")]), case.target, job=case.job, **(case.view or {}))
    assert is_replaced(found) == case.replaced
    if case.replaced:
        assert not is_handed_off(found)
        assert not [item for item in found.actions if isinstance(item, Create | Delete)], "first it is written down"


def test_what_is_handed_off_is_what_was_compared_with_the_spec_and_with_the_guest() -> None:
    """A NIC that crosses the hand-off meets one of these tests."""
    of = guest(BLUE, rows=(PLUGGED,), generation=7)
    found = plan(of, pod(networks=[element("blue")]), target_pod(networks=[element("blue")], attached=["blue"]))
    (state,) = [item for item in found.actions if isinstance(item, PatchMigrationState)]
    tests = [dict(item) for item in state.json_patch() if item["op"] == "test"]
    assert {"op": "test", "path": "/metadata/generation", "value": 7} in tests
    assert {"op": "test", "path": "/status/interfaces", "value": [primary_row(), PLUGGED]} in tests
    assert not [item for item in state.json_patch() if item["op"] == "add" and item["path"] == "/status/interfaces"]


def test_a_replaced_target_pod_left_its_migration_in_a_phase_that_has_one() -> None:
    """KubeVirt's controller fails such a migration; the time of each phase stays that of the first entry."""
    phases = ("Pending", "Scheduling", "Scheduled")
    times = [{"phase": item, "phaseTransitionTimestamp": "2026-01-02T03:04:00Z"} for item in phases]
    found = plan(guest(BLUE), pod(), target_pod(), job=at("Scheduled", {"phaseTransitionTimestamps": times}))
    assert is_replaced(found)
    assert "phaseTransitionTimestamps" not in status(found)


def test_it_says_which_nic_it_is_replaced_for() -> None:
    found = plan(guest(BLUE), pod(), target_pod())
    reported = condition(found, "Progressing")
    assert (reported["reason"], reported["status"]) == (Reason.TARGET_POD_REPLACED, "True")
    assert reported["message"] == f'target pod {TARGET} was made before NICs of the VM changed ("blue"): it is replaced'
    assert events(found) == [("SuccessfulDelete", reported["message"])]


class TestTime:
    """Replacing a target pod gives nobody more time than he has."""

    def since(self, job: Json, target: Json) -> Json:
        found: Json = status(plan(guest(BLUE), pod(), target, job=job))["targetPodRenewal"]
        return found

    def test_a_pod_that_is_stuck_is_replaced_without_counting_and_its_time_goes_on(self) -> None:
        made_at = "2026-01-02T03:02:00Z"
        target = target_pod(node="", phase="Pending", ready=False, creationTimestamp=made_at)
        written = self.since(at("Scheduling", STUCK), target)
        assert (written["count"], written["waitingSince"]) == (0, made_at)

    def test_a_pod_that_could_go_on_counts(self) -> None:
        written = self.since(at("Scheduled", renewed(count=2, pods=("a",))), target_pod())
        assert (written["count"], "waitingSince" in written) == (3, False)
        assert [item["uid"] for item in written["replacedPods"]] == ["a", TARGET_POD_UID]

    def test_nics_that_keep_coming_do_not_keep_a_target_pod_that_finds_no_node(self) -> None:
        """It was made a second ago, in place of others that found none for five minutes."""
        row_ = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": "0/2 nodes: no memory.",
        }
        target = target_pod(node="", phase="Pending", ready=False, creationTimestamp="2026-01-02T03:04:04Z")
        target["status"]["conditions"] = [row_]
        job = at("Scheduling", renewed(pods=("a",), waitingSince="2026-01-02T02:59:00Z") | STUCK)
        written = status(plan(guest(BLUE), pod(), target, job=job))
        assert written["phase"] == "Failed"

    def test_one_that_takes_the_place_of_a_ready_pod_has_its_own_time_for_its_turn(self) -> None:
        waits = {"slot": MigrationSlot(is_granted=True, reason="WaitingForSlot", message="1st in the queue")}
        times = [{"phase": "Scheduled", "phaseTransitionTimestamp": "2026-01-02T02:40:00Z"}]
        target = target_pod(networks=[element("blue")], attached=["blue"], creationTimestamp="2026-01-02T03:04:00Z")
        job = at("Scheduled", renewed(pods=("a",)) | {"phaseTransitionTimestamps": times})
        assert status(plan(guest(BLUE), pod(), target, job=job, **waits)).get("phase") != "Failed"
        job = at("Scheduled", {"phaseTransitionTimestamps": times})
        assert status(plan(guest(BLUE), pod(), target, job=job, **waits)).get("phase") == "Failed"


class TestBetweenTargets:
    """The old one is written off; it goes, and the next one is made with what the VM asks for now."""

    def next(self, *old: Json, of: Json | None = None) -> MigrationPlan:
        return plan(of or guest(BLUE), pod(), job=at("Pending", renewed()), foreign=old or (target_pod(),))

    def test_it_is_deleted_and_the_next_one_is_made_at_once(self) -> None:
        found = self.next()
        assert names(found)[:3] == ["CheckGuest VirtualMachineInstance", "Delete Pod", "Create Pod"]
        (delete,) = [item for item in found.actions if isinstance(item, Delete)]
        assert (delete.uid, delete.version) == (TARGET_POD_UID, int(target_pod()["metadata"]["resourceVersion"]))
        (create,) = [item for item in found.actions if isinstance(item, Create)]
        assert create.key.name != TARGET
        asked = thaw(create.body)["metadata"]["annotations"]["k8s.v1.cni.cncf.io/networks"]
        assert "blue-net" in asked

    def test_two_leaders_make_the_next_one_under_the_same_name(self) -> None:
        made = {
            next(item.key for item in plan_migration(view, now=NOW).actions if isinstance(item, Create))
            for salt in ("one", "other")
            for view in [_salted(self._view(), salt)]
        }
        assert len(made) == 1

    def _view(self) -> MigrationView:
        job = at("Pending", renewed())
        return migration_view(job, guest(BLUE), pod(), foreign=[target_pod()], slot=GRANTED, nads=NADS)

    def test_a_leader_that_was_held_up_in_the_hand_off_misses_the_label(self) -> None:
        found = self.next(of=guest(BLUE, **LABELED))
        kinds = [type(item) for item in found.actions]
        assert kinds.index(PatchLabels) < kinds.index(Delete)

    def test_one_that_goes_already_is_not_deleted_again(self) -> None:
        found = self.next(target_pod(deletionTimestamp="2026-01-02T03:04:00Z"))
        assert not [item for item in found.actions if isinstance(item, Delete | CheckGuest)]
        assert [item for item in found.actions if isinstance(item, Create)]

    def test_one_that_lost_its_labels_is_looked_for_before_the_next_one_is_made(self) -> None:
        """It would never be deleted, and would hold its node."""
        found = plan(guest(BLUE), pod(), job=at("Pending", renewed()), gone=False)
        assert names(found) == ["FindPod Pod"]
        assert found.wants_slot, "it keeps its place meanwhile"

    def test_the_one_that_is_replaced_counts_for_nobody(self) -> None:
        """The VMI's record has it still, and so may the memory of the process that made it."""
        of = guest(BLUE)
        row_ = {"name": TARGET, "uid": TARGET_POD_UID, "migrationUid": MIGRATION_UID}
        of["status"]["launcherPods"] = [*of["status"].get("launcherPods", []), row_]
        view = migration_view(at("Pending", renewed()), of, pod())
        assert view.vmi is not None
        (record,) = [item for item in gather_records(view.vmi, view.migrations, ()) if item.uid == TARGET_POD_UID]
        assert record.is_replaced
        assert next_target_key(view.vmi, view.migrations, migration_uid=MIGRATION_UID).name != TARGET

    def test_it_was_handed_off_by_another_leader_all_the_same(self) -> None:
        """The guest goes there, so that pod counts again, and none is made in its place."""
        of = guest(BLUE, moving=migration_state(), **LABELED)
        found = plan(of, pod(), target_pod(), job=at("Pending", renewed()))
        assert not [item for item in found.actions if isinstance(item, Create | Delete)]
        written = status(found)
        assert written["phase"] == "PreparingTarget"
        assert written["targetPod"] == {"name": TARGET, "uid": TARGET_POD_UID}
        assert written["targetPodRenewal"]["replacedPods"] == []

    def test_its_place_in_the_queue_is_not_lost(self) -> None:
        assert self.next().wants_slot

    def test_a_migration_that_a_user_makes_meanwhile_comes_second(self) -> None:
        """Before it had a target pod, that of a user would have gone first."""
        own = at(
            "Pending",
            renewed(),
            name="kubevirt-workload-update-1",
            annotations={"kubevirt.io/workloadUpdateMigration": ""},
            ownerReferences=[owner("VirtualMachineInstance", NAME, VMI_UID)],
        )
        user = migration("", name="job", uid=OTHER_UID, creationTimestamp="2026-01-02T02:00:00Z")
        view = migration_view(own, guest(BLUE), pod(), others=[user])
        assert first_in_line(view).key.name == "kubevirt-workload-update-1"

    def test_it_goes_also_when_the_migration_ends_in_between(self) -> None:
        """A crash between two writes, and then somebody cancels it."""
        reported = {
            "conditions": [{"type": "Progressing", "status": "False", "reason": "MigrationCanceled", "message": "x"}]
        }
        found = plan(guest(BLUE), pod(), job=at("Failed", renewed() | reported), foreign=[target_pod()])
        assert names(found)[:2] == ["CheckGuest VirtualMachineInstance", "Delete Pod"]


def test_the_next_migration_makes_no_target_pod_beside_one_that_an_earlier_one_has_replaced() -> None:
    """That one was cancelled in between, and has still to delete it."""
    earlier = at("Failed", renewed(), name="earlier", uid=OTHER_UID)
    job = migration("Pending")
    view: Json = {"others": [earlier], "slot": GRANTED}
    found = plan_migration(migration_view(job, guest(), pod(), foreign=[target_pod()], **view), now=NOW)
    assert condition(found, "Progressing")["reason"] == Reason.SEVERAL_LAUNCHER_PODS
    found = plan_migration(migration_view(job, guest(), pod(), foreign=[target_pod(deleting=True)], **view), now=NOW)
    assert [item for item in found.actions if isinstance(item, Create)]


def _salted(view: MigrationView, salt: str) -> MigrationView:
    return replace(view, settings=replace(view.settings, name_salt=salt))


def test_times_are_read_as_they_are_written() -> None:
    view = migration_view(at("Pending", renewed(waitingSince="2026-01-02T03:00:00Z", count=3)), guest(), pod())
    renewal = view.migration.renewal
    assert (renewal.count, renewal.waiting_since) == (3, parse_time("2026-01-02T03:00:00Z"))
    assert renewal.waiting_since is not None
    assert renewal.waiting_since < later(0)
