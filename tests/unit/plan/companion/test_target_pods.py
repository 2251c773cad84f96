"""Why a migration of nicplug's failed beside KubeVirt: virt-controller deletes the target pod, and says no more."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.build import (
    NAME,
    NOW,
    TARGET_POD_UID,
    VM_UID,
    VMI_UID,
    Json,
    Nic,
    element,
    interface_report,
    kubevirt,
    later,
    migration,
    nad,
    nic,
    owner,
    pod,
    primary,
    primary_row,
    row,
    vm,
    vmi,
)
from tests.build import companion_view as a_view

from nicplug.model.dynamic_controller import ControllerState, DynamicController
from nicplug.model.frozen_json import thaw
from nicplug.model.pod_failures import PodFailure
from nicplug.plan.actions import Create, Delete, Kind, PatchStatus
from nicplug.plan.companion.plan_companion import CompanionDecision, decide_companion
from nicplug.plan.reasons import Reason

BLUE, RED, GREEN = nic("blue"), nic("red"), nic("green")
NETWORKS = ("blue-net", "red-net", "green-net")
UID = "own-1"
UNSCHEDULED = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/2 nodes"}
NO_BRIDGE = 'error adding container to network "blue-net": no such bridge'


def sandbox(message: str = NO_BRIDGE, *, network: str = "blue-net", pod_uid: str = TARGET_POD_UID) -> PodFailure:
    """What the kubelet says of the pod."""
    return PodFailure(
        pod_uid=pod_uid,
        interface="",
        reason="FailedCreatePodSandBox",
        message=message,
        heard_at=NOW,
        network=network,
    )


def target(**members: Any) -> Json:
    """The target pod of nicplug's migration; it waits on node02."""
    labels = {"kubevirt.io": "virt-launcher", "kubevirt.io/created-by": VMI_UID, "kubevirt.io/migrationJobUID": UID}
    found = pod(
        **{
            "name": "virt-launcher-target",
            "uid": TARGET_POD_UID,
            "node": "node02",
            "phase": "Pending",
            "ready": False,
            "labels": labels,
            "networks": [element("blue")],
            **members,
        }
    )
    found["metadata"]["annotations"].pop("k8s.v1.cni.cncf.io/network-status", None)
    return found


@dataclass
class Guest:
    """A VM with these NICs, none of which its guest has, on a node without a controller.

    Attributes:
        status: of its report; what a pass writes is there for the next one.
    """

    nics: Sequence[Nic]
    rows: Sequence[Json] = ()
    networks: Sequence[Json] = tuple(map(nad, NETWORKS))
    status: Json = field(default_factory=lambda: {"vmUid": VM_UID, "vmiUid": VMI_UID})
    job: Json = field(default_factory=dict)

    def plan(self, *pods: Json, at: float = 0, **members: Any) -> CompanionDecision:
        """A pass; its report is written."""
        raw = vmi(
            primary(),
            *self.nics,
            rows=[primary_row(), *self.rows],
            conditions=({"type": "LiveMigratable", "status": "True"},),
            owner_uid=VM_UID,
        )
        config = kubevirt()
        config["spec"]["workloadUpdateStrategy"] = {"workloadUpdateMethods": ["LiveMigrate"]}
        facts: Json = {
            "controller": DynamicController(state=ControllerState.NOT_DEPLOYED),
            "nads": list(self.networks),
            "config": config,
            "spec_seen_at": later(-60),
            "pending_since": later(-60),
            "report": interface_report(**self.status),
            "vm": vm(primary(), *self.nics),
            "migrations": (self.job,) if self.job else (),
            **members,
        }
        asked = pod(networks=[element(interface["name"]) for interface, _ in self.nics])
        found = decide_companion(a_view(raw, asked, *pods, **facts), now=later(at))
        for patch in found.plan.actions:
            if isinstance(patch, PatchStatus):
                self.status = json.loads(json.dumps({**self.status, **thaw(patch.wanted)}))
        return found

    def made(self, found: CompanionDecision) -> list[Json]:
        creates = (item for item in found.plan.actions if isinstance(item, Create) and item.kind is Kind.MIGRATION)
        return [thaw(item.body) for item in creates]

    def migrate(self) -> None:
        """A pass that creates a migration, which virt-controller accepts."""
        (body,) = self.made(self.plan())
        self.job = migration(
            "Scheduling",
            name=body["metadata"]["name"],
            uid=UID,
            annotations=body["metadata"]["annotations"],
            ownerReferences=[owner("VirtualMachineInstance", NAME, VMI_UID)],
            creationTimestamp=_stamp(0),
        )
        self.enter("Pending", 0)
        self.enter("Scheduling", 0)

    def enter(self, phase: str, seconds: float, **status: Any) -> None:
        """virt-controller writes the phase."""
        times = self.job["status"].setdefault("phaseTransitionTimestamps", [])
        times.append({"phase": phase, "phaseTransitionTimestamp": _stamp(seconds)})
        self.job["status"] |= {"phase": phase, **status}

    def fail(self) -> CompanionDecision:
        """virt-controller deletes the pod after 15 minutes, and the migration fails."""
        self.plan(at=901)
        self.enter("Failed", 901)
        return self.plan(at=902)

    def record(self, name: str = "blue") -> Json:
        return next(dict(item) for item in self.status["interfaceOperations"] if item["name"] == name)

    def failures(self) -> list[Json]:
        return list(self.status.get("targetPodFailures") or [])


def _stamp(seconds: float) -> str:
    return later(seconds).strftime("%Y-%m-%dT%H:%M:%SZ")


def test_a_broken_network_cost_five_migrations() -> None:
    """Its NIC is given up after one, with what the kubelet said; not before its network changes."""
    guest = Guest([BLUE])
    guest.migrate()
    guest.plan(target(), at=5, start_failures=(sandbox(),))
    assert (guest.record()["phase"], NO_BRIDGE in guest.record()["message"]) == ("Migrating", True)
    assert guest.made(guest.fail()) == []
    record = guest.record()
    assert (record["phase"], record["reason"]) == ("Failed", Reason.MIGRATION_FAILED)
    assert NO_BRIDGE in record["message"]
    assert record["migrationFailures"]["reason"] == Reason.TARGET_POD_NOT_READY
    assert guest.made(guest.plan(at=5000)) == []
    guest.networks = [nad("blue-net", config='{"type": "macvlan"}'), *map(nad, NETWORKS[1:])]
    assert len(guest.made(guest.plan(at=5001))) == 1


def test_the_nic_that_the_kubelet_names_is_blamed_and_blocks_the_others() -> None:
    """virt-controller's target pods have every NIC of the spec: without it none starts."""
    guest = Guest([BLUE, RED])
    guest.migrate()
    guest.plan(target(), at=5, start_failures=(sandbox(),))
    (failure,) = guest.failures()
    assert (failure["migrationUid"], failure["interfacesAtFault"]) == (UID, ["blue"])
    assert guest.made(guest.fail()) == []
    assert guest.record("blue")["phase"] == "Failed"
    red = guest.record("red")
    assert (red["phase"], red["reason"]) == ("Blocked", Reason.MIGRATION_FAILED)
    assert 'NIC "blue" on network default/blue-net' in red["message"]
    assert guest.made(guest.plan(at=100_000)) == [], "it would fail in the same way"
    guest.nics = [nic("blue", mac="02:00:00:00:00:09"), RED]
    assert len(guest.made(guest.plan(at=100_001))) == 1


def test_the_network_of_a_nic_that_the_guest_has_blocks_and_is_tried_again() -> None:
    guest = Guest([RED, BLUE], rows=[row("red", "domain", "multus-status")])
    guest.migrate()
    broken = sandbox('error adding container to network "red-net": no such bridge', network="red-net")
    guest.plan(target(), at=5, start_failures=(broken,))
    assert guest.made(guest.fail()) == []
    assert (guest.record()["phase"], guest.record()["reason"]) == ("Blocked", Reason.MIGRATION_FAILED)
    assert guest.made(guest.plan(at=1700)) == []
    assert len(guest.made(guest.plan(at=1802))) == 1


def test_nobody_knows_which_network() -> None:
    """All are given up together: none could be tried alone, as each pod has all."""
    guest = Guest([BLUE, RED])
    guest.migrate()
    unnamed = PodFailure(
        pod_uid=TARGET_POD_UID,
        interface="",
        reason="FailedCreatePodSandBox",
        message="error in getting k8s network for pod",
        heard_at=NOW,
        is_of_networks=True,
    )
    guest.plan(target(), at=5, start_failures=(unnamed,))
    assert guest.made(guest.fail()) == []
    assert {guest.record(name)["phase"] for name in ("blue", "red")} == {"Failed"}
    assert guest.made(guest.plan(at=5000)) == []


@pytest.mark.parametrize(
    ("members", "failure", "reason", "message"),
    [
        ({}, sandbox("no space left", network=""), Reason.TARGET_POD_LATE, "no space left"),
        (
            {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}},
            None,
            Reason.TARGET_POD_LATE,
            "ImagePullBackOff: no such image",
        ),
        (
            {"node": "", "conditions": [UNSCHEDULED]},
            None,
            Reason.TARGET_POD_UNSCHEDULABLE,
            "found no node: 0/2 nodes",
        ),
    ],
    ids=["runtime", "image", "scheduler"],
)
def test_what_a_retry_may_fix_is_retried(
    members: Json, failure: PodFailure | None, reason: Reason, message: str
) -> None:
    guest = Guest([BLUE])
    guest.migrate()
    members = dict(members)
    waiting, conditions = members.pop("waiting", None), members.pop("conditions", None)
    body = target(**members)
    if waiting is not None:
        body["status"]["containerStatuses"] = [{"name": "compute", "ready": False, "state": {"waiting": waiting}}]
    if conditions is not None:
        body["status"]["conditions"] = conditions
    guest.plan(body, at=5, start_failures=(failure,) if failure is not None else ())
    (found,) = guest.failures()
    assert (found["reason"], message in found["message"]) == (reason, True)
    guest.fail()
    assert message in guest.record()["message"] or guest.record()["migrationFailures"]["message"] == found["message"]
    assert len(guest.made(guest.plan(at=990))) == 1


def test_a_pod_that_nobody_says_anything_of_is_suspected_after_five_minutes() -> None:
    """Events cannot be read: a broken network must not migrate the VM again and again."""
    guest = Guest([BLUE])
    guest.migrate()
    waiting = target(creationTimestamp=_stamp(0))
    assert guest.plan(waiting, at=5).plan.again_at == later(300).replace(microsecond=0)
    assert guest.failures() == []
    guest.plan(waiting, at=301)
    assert [item["reason"] for item in guest.failures()] == [Reason.TARGET_POD_NOT_READY]
    guest.fail()
    assert guest.record()["phase"] == "Failed"


@pytest.mark.parametrize(
    ("labels", "members"),
    [
        ({"kubevirt.io/migrationJobUID": "another"}, {}),
        ({"kubevirt.io/created-by": "another"}, {}),
        ({}, {"owner_uid": "another"}),
    ],
    ids=["another migration", "another creator", "another owner"],
)
def test_a_pod_that_is_not_the_migrations_proves_nothing(labels: Json, members: Json) -> None:
    guest = Guest([BLUE])
    guest.migrate()
    body = target(**members)
    body["metadata"]["labels"] |= labels
    guest.plan(*([] if "owner_uid" in members else [body]), at=5, start_failures=(sandbox(),))
    assert guest.failures() == []
    twins = (target(), target(name="twin", uid="twin"))
    guest.plan(*twins, at=6, start_failures=(sandbox(),))
    assert guest.failures() == [], "which of two is the target is not known"


def test_a_pod_that_starts_after_all_has_not_failed() -> None:
    guest = Guest([BLUE])
    guest.migrate()
    guest.plan(target(), at=5, start_failures=(sandbox(),))
    assert guest.failures()
    guest.plan(target(phase="Running", ready=True), at=60, start_failures=(sandbox(),))
    assert guest.failures() == []


def test_the_words_of_each_attempt_are_not_written() -> None:
    guest = Guest([BLUE])
    guest.migrate()
    guest.plan(target(), at=5, start_failures=(sandbox(),))
    again = sandbox('error adding container to network "blue-net": time-out')
    assert guest.plan(target(), at=20, start_failures=(again,)).plan.actions == ()


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (
            {"migrationState": {"migrationUid": UID, "failed": True, "failureReason": "unexpected end of stream"}},
            "source node reported migration failed: unexpected end of stream",
        ),
        (
            {"migrationState": {"migrationUid": "another", "failed": True, "failureReason": "no"}},
            "Migration target pod was removed during active migration.",
        ),
        ({}, "Migration target pod was removed during active migration."),
    ],
    ids=["copy", "another's", "nothing"],
)
def test_what_kubevirt_says_of_a_failure_is_quoted(status: Json, message: str) -> None:
    guest = Guest([BLUE])
    guest.migrate()
    guest.enter("Failed", 20, **status)
    guest.plan(at=25)
    assert guest.record()["migrationFailures"]["message"] == message
    assert len(guest.made(guest.plan(at=60))) == 1, "it is retried"


def test_a_quota_is_told() -> None:
    guest = Guest([BLUE])
    guest.migrate()
    condition = {"type": "migrationRejectedByResourceQuota", "status": "True"}
    guest.job["status"] |= {"phase": "Pending", "conditions": [condition]}
    guest.plan(at=5)
    assert "a quota of the namespace rejects the target pod" in guest.record()["message"]


@pytest.mark.parametrize(
    "nics",
    [[RED], [nic("blue", attachment="green-net"), RED]],
    ids=["blue is removed", "blue is corrected"],
)
def test_a_migration_whose_pod_waits_for_a_network_that_nobody_wants_is_withdrawn(nics: list[Nic]) -> None:
    """It went on for 15 minutes, and with it the NIC that could have come."""
    guest = Guest([BLUE, RED])
    guest.migrate()
    waiting = target(networks=[element("blue"), element("red")])
    guest.plan(waiting, at=5, start_failures=(sandbox(),))
    before = guest.plan(waiting, at=20, start_failures=(sandbox(),))
    assert [item for item in before.plan.actions if isinstance(item, Delete)] == []
    guest.nics = nics
    after = guest.plan(waiting, at=30, start_failures=(sandbox(),), spec_seen_at=later(20))
    (deletion,) = [item for item in after.plan.actions if isinstance(item, Delete)]
    assert (deletion.kind, deletion.uid) == (Kind.MIGRATION, UID)
