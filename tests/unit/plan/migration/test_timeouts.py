"""For how long a target pod is waited for (reference: `handlePendingPodTimeout`); every deadline is in the objects."""

from dataclasses import replace
from typing import Any

import pytest
from tests.build import (
    NODE,
    NOW,
    Json,
    element,
    later,
    migration,
    migration_state,
    migration_view,
    nad,
    nic,
    node,
    pod,
    primary,
    target_pod,
    vmi,
    waiting,
)
from tests.unit.plan.migration.outcome import events, names, progressing, status

from nicplug.model.slot_ledger import MigrationSlot
from nicplug.plan.migration.plan_migration import plan_migration
from nicplug.plan.outcome import Plan
from nicplug.plan.views import Refusal

UNSCHEDULABLE = "kubevirt.io/migrationUnschedulablePodTimeoutSeconds"
PENDING = "kubevirt.io/migrationPendingPodTimeoutSeconds"
TARGET = target_pod()["metadata"]["name"]
NO_BRIDGE = 'error adding container to network "blue-net": no such bridge: br9'
# NOW is 5.678 s after the minute.
CREATED = "2026-01-02T03:04:05Z"


def unscheduled(*, phase: str = "Pending") -> Json:
    """A target pod that no node takes."""
    row = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/2 nodes: no memory."}
    return target_pod(
        phase=phase,
        ready=False,
        node="",
        networks=[element("blue")],
        creationTimestamp=CREATED,
        status={"phase": phase, "conditions": [row]},
    )


def starting(**members: Any) -> Json:
    """A target pod that has a node and does not run."""
    asked = {"networks": [element("blue")], "attached": [], **members}
    return target_pod(phase="Pending", ready=False, creationTimestamp=CREATED, **asked)


def plan(
    target: Json,
    *,
    seconds: float,
    phase: str = "Scheduling",
    annotations: Json | None = None,
    skew: float = 0,
    **view: Any,
) -> Plan:
    """What is decided so many seconds after the pod was made; `skew`: our clock is that much ahead."""
    raw = migration(phase, annotations=annotations)
    of = vmi(primary(), nic("blue"))
    return plan_migration(migration_view(raw, of, pod(), target, **view), now=later(seconds + skew - 0.678))


CASES = [
    pytest.param(unscheduled(), {}, 300, "TargetPodUnschedulable", "found no node within 300 s", id="unschedulable"),
    pytest.param(starting(), {}, 900, "TargetPodNotReady", "did not start on node02 within 900 s", id="pending"),
    pytest.param(
        starting(status=waiting("ErrImagePull")),
        {},
        900,
        "TargetPodLate",
        "within 900 s: ErrImagePull: no such host",
        id="an image that cannot be pulled",
    ),
    pytest.param(
        unscheduled(),
        {UNSCHEDULABLE: "10"},
        10,
        "TargetPodUnschedulable",
        "within 10 s",
        id="unschedulable, overridden",
    ),
    pytest.param(starting(), {PENDING: "20"}, 20, "TargetPodNotReady", "within 20 s", id="pending, overridden"),
    pytest.param(
        unscheduled(),
        {PENDING: "20"},
        20,
        "TargetPodUnschedulable",
        "within 20 s",
        id="unschedulable counts as pending, too",
    ),
    *(
        pytest.param(
            unscheduled(), {UNSCHEDULABLE: bad}, 300, "TargetPodUnschedulable", "300 s", id=f"bad: {bad[:5]!r}"
        )
        for bad in ("", "soon", "-1", "1e3", "9" * 400, "٣")
    ),
]


@pytest.mark.parametrize(("target", "annotations", "seconds", "reason", "words"), CASES)
@pytest.mark.parametrize("phase", ["Pending", "Scheduling"])
def test_given_up_when_its_time_has_come_and_not_before(
    target: Json, annotations: Json, seconds: int, reason: str, words: str, phase: str
) -> None:
    before = plan(target, seconds=seconds - 1, annotations=annotations, phase=phase)
    assert status(before).get("phase") != "Failed"
    assert before.again_at is not None
    assert before.again_at <= later(seconds - 0.678)
    after = plan(target, seconds=seconds, annotations=annotations, phase=phase)
    assert progressing(after)["reason"] == reason
    assert words in progressing(after)["message"]
    # KubeVirt's word for it: there the pod is deleted first, and missing then.
    assert events(after) == [("FailedMigration", "Migration target pod was removed during active migration.")]


LACKING = [
    pytest.param(
        (pod(), target_pod(networks=[element("blue")], attached=[], creationTimestamp=CREATED)),
        "TargetPodNotReady",
        "runs on node02, but within 900 s Multus did not report pod16477688c0e",
        id="a network that Multus never reports",
    ),
    pytest.param(
        (pod(), pod(name="other", uid="other", node="node03"), target_pod(creationTimestamp=CREATED)),
        "TargetPodLate",
        "there was not exactly one other launcher pod: other, virt-launcher-vmi-fedora-5ca3e",
        id="a third pod that does not go",
    ),
]


@pytest.mark.parametrize(("pods", "reason", "words"), LACKING)
def test_a_target_pod_that_runs_and_lacks_something_does_not_hold_its_slot_for_ever(
    pods: tuple[Json, ...], reason: str, words: str
) -> None:
    def at(seconds: float) -> Plan:
        view = migration_view(migration("Scheduled"), vmi(primary(), nic("blue")), *pods)
        return plan_migration(view, now=later(seconds - 0.678))

    assert status(at(899)).get("phase") != "Failed"
    assert at(899).again_at == later(900 - 0.678)
    assert progressing(at(900))["reason"] == reason
    assert words in progressing(at(900))["message"]


def test_a_pod_whose_start_fails_again_and_again_is_given_up_sooner() -> None:
    """It would hold a slot for a quarter of an hour."""
    of = vmi(primary(), nic("blue"))
    view = migration_view(migration("Scheduling"), of, pod(), starting(), cannot_start=NO_BRIDGE)
    assert status(plan_migration(view, now=later(299 - 0.678))).get("phase") is None
    after = plan_migration(view, now=later(300 - 0.678))
    assert progressing(after)["reason"] == "TargetPodNotReady"
    assert progressing(after)["message"] == f"target pod {TARGET} did not start on node02 within 300 s: {NO_BRIDGE}"


WITH_NIC = {"networks": [element("blue")], "attached": ["blue"]}
LOADING = "error loading k8s delegates k8s args: TryLoadPodDelegates: error in getting k8s network for pod:"
KIND = "network-attachment-definition"
GONE_WRONG = [node(NODE), node("node02", ready=False)]
LATE = [
    pytest.param(starting(status=waiting("ImagePullBackOff")), {}, True, id="its image cannot be pulled"),
    pytest.param(
        starting(status=waiting("ErrImagePull")),
        {"cannot_start": NO_BRIDGE},
        True,
        id="its image cannot be pulled, after its sandbox was made at last",
    ),
    pytest.param(starting(**WITH_NIC), {}, True, id="Multus has reported all: it is slow"),
    pytest.param(starting(networks=[]), {}, True, id="it is to have no network of the VM"),
    pytest.param(starting(), {"nodes": GONE_WRONG}, True, id="its node is not ready"),
    pytest.param(starting(), {"nodes": [node(NODE)]}, False, id="its node is not in sight"),
    pytest.param(starting(node=""), {}, True, id="nobody has looked for a node"),
    pytest.param(starting(), {"nodes": [node(NODE), node("node02")]}, False, id="nobody says what it waits for"),
    pytest.param(starting(), {}, False, id="nobody says what it waits for, and nodes cannot be read"),
    pytest.param(starting(), {"cannot_start": NO_BRIDGE}, False, id="its sandbox cannot be made for its network"),
    pytest.param(
        starting(),
        {"cannot_start": NO_BRIDGE, "nodes": GONE_WRONG},
        False,
        id="its sandbox cannot be made for its network, and its node is not ready",
    ),
    *(
        pytest.param(starting(), {"cannot_start": words, "nads": [nad("blue-net")]}, is_late, id=name)
        for name, words, is_late in (
            ("the container runtime is slow", "code = DeadlineExceeded desc = context deadline exceeded", True),
            ("it has lost its own record of the pod", "failed to reserve sandbox name", True),
            ("the cluster's own network", 'error adding container to network "k8s-pod-network": unauthorized', True),
            ("a namesake elsewhere", "error adding container to network other/blue-net: no such bridge", True),
            ("a definition that went", f"{LOADING} cannot find a {KIND} (blue-net) in namespace (default): no", False),
            ("a network, and nobody says which", f"{LOADING} GetCNIConfig: no networks found in /etc/cni", False),
        )
    ),
    pytest.param(
        starting(),
        {"cannot_start": 'error adding container to network "br-blue": no such bridge'},
        False,
        id="a network that may be the VM's, as definitions cannot be read",
    ),
]


@pytest.mark.parametrize(("target", "view", "is_late"), LATE)
def test_what_time_mends_is_reported_separately_from_a_network_that_cannot_be_attached(
    target: Json, view: dict[str, Any], is_late: bool
) -> None:
    """The one is tried again, the other has to be corrected by somebody."""
    reported = progressing(plan(target, seconds=900, **view))
    assert reported["reason"] == ("TargetPodLate" if is_late else "TargetPodNotReady")


def test_the_trouble_of_its_node_is_reported() -> None:
    words = "did not start on node02 within 900 s: node node02 is not ready"
    assert words in progressing(plan(starting(), seconds=900, nodes=GONE_WRONG))["message"]


def test_a_pod_that_is_ready_has_no_deadline() -> None:
    made = target_pod(networks=[element("blue")], attached=["blue"], creationTimestamp="2026-01-01T00:00:00Z")
    for phase in ("Scheduling", "Scheduled"):
        after = plan(made, seconds=0, phase=phase)
        assert status(after).get("phase") != "Failed"
        assert after.again_at is None


ENDED = {"terminated": {"reason": "Error", "exitCode": 1}}
STARTED = {"running": {"startedAt": CREATED}}
COMPUTE = {"name": "compute", "ready": False, "state": STARTED}


def unready(*containers: Json, compute: Json = COMPUTE, phase: str = "Running") -> Json:
    """A target pod that runs, and of which these containers are not ready."""
    rows = [compute, *({"ready": False, **item} for item in containers)]
    members: Json = {"networks": [element("blue")], "attached": ["blue"], "creationTimestamp": CREATED}
    return target_pod(status={"phase": phase, "containerStatuses": rows}, **members)


NEVER_READY = [
    pytest.param(
        unready({"name": "logger", "state": ENDED}),
        "container logger (ended with exit code 1)",
        id="a sidecar has ended: the pod never starts it again",
    ),
    pytest.param(
        unready({"name": "logger", "state": {"waiting": {"reason": "CrashLoopBackOff"}}, "lastState": ENDED}),
        "container logger (ended with exit code 1)",
        id="a sidecar is started again and again",
    ),
    pytest.param(
        unready({"name": "logger", "state": {"waiting": {"reason": "CreateContainerConfigError"}}}),
        "container logger (CreateContainerConfigError)",
        id="a sidecar cannot be made",
    ),
    pytest.param(
        unready({"name": "logger", "state": STARTED}, {"name": "mesh", "state": ENDED}),
        "containers logger, mesh (ended with exit code 1)",
        id="two sidecars",
    ),
    pytest.param(
        unready(compute={**COMPUTE, "state": {"waiting": {"reason": "ContainerCreating"}}}),
        "container compute",
        id="the VM's own container",
    ),
    pytest.param(unready(phase="Unknown"), "its phase is Unknown", id="nobody knows"),
]


@pytest.mark.parametrize(("target", "words"), NEVER_READY)
@pytest.mark.parametrize("annotations", [{}, {PENDING: "20"}], ids=["default", "overridden"])
def test_a_target_pod_that_runs_and_never_gets_ready_is_given_up(target: Json, words: str, annotations: Json) -> None:
    seconds = int(annotations.get(PENDING, 900))
    before = plan(target, seconds=seconds - 1, annotations=annotations)
    assert status(before).get("phase") is None
    assert before.again_at == later(seconds - 0.678)
    after = plan(target, seconds=seconds, annotations=annotations)
    assert status(after)["phase"] == "Failed"
    assert progressing(after)["reason"] == "TargetPodNotReady"
    assert progressing(after)["message"] == (
        f"target pod {TARGET} runs on node02, but within {seconds} s it was not ready: {words}"
    )
    assert events(after) == [("FailedMigration", "Migration target pod was removed during active migration.")]


class TestReadyNoMore:
    """It waited for its turn on the target node, perhaps for long, and one of its containers has ended since."""

    target = unready({"name": "logger", "state": ENDED})

    def at(self, seconds: float, *, reported: Json | None = None) -> Plan:
        raw = migration("Scheduled", status={"conditions": [reported] if reported is not None else []})
        view = migration_view(raw, vmi(primary(), nic("blue")), pod(), self.target)
        return plan_migration(view, now=later(seconds - 0.678))

    def test_its_time_begins_when_that_is_reported(self) -> None:
        first = self.at(10**4)
        reported = progressing(first)
        assert (reported["status"], reported["reason"]) == ("False", "TargetPodContainersNotReady")
        assert status(first).get("phase") is None
        assert first.again_at == later(10**4 + 900 - 0.678)
        before = self.at(10**4 + 899, reported=reported)
        assert status(before).get("phase") is None
        assert before.again_at == later(10**4 + 900 - 0.678)
        after = self.at(10**4 + 900, reported=reported)
        assert progressing(after)["reason"] == "TargetPodNotReady"
        assert "within 900 s it was not ready: container logger" in progressing(after)["message"]

    def test_the_time_for_which_it_waited_for_its_turn_does_not_count(self) -> None:
        waited = {"type": "Progressing", "status": "True", "reason": "WaitingForSlot", "message": "2nd in the queue",
                  "lastTransitionTime": CREATED}  # fmt: skip
        assert status(self.at(10**4, reported=waited)).get("phase") is None


@pytest.mark.parametrize("phase", ["Scheduled", "PreparingTarget", "TargetReady", "Running"])
def test_a_target_pod_that_was_handed_off_is_left_to_the_node_agents(phase: str) -> None:
    members: Json = {} if phase in ("Scheduled", "PreparingTarget") else {"targetNodeAddress": "10.0.0.2"}
    members |= {"startTimestamp": CREATED} if phase == "Running" else {}
    raw = migration(phase)
    target = unready({"name": "logger", "state": ENDED})
    view = migration_view(raw, vmi(moving=migration_state(**members)), pod(), target)
    after = plan_migration(view, now=later(10**6))
    assert status(after).get("phase") != "Failed"
    assert after.again_at is None


@pytest.mark.parametrize("skew", [-60, 60])
def test_a_clock_that_differs_by_a_minute_moves_a_deadline_by_a_minute(skew: float) -> None:
    """It fails nothing early that has begun, and waits for nothing without end."""
    assert status(plan(unscheduled(), seconds=239, skew=skew)).get("phase") != "Failed"
    assert status(plan(unscheduled(), seconds=360, skew=skew)).get("phase") == "Failed"


def test_unschedulable_is_reported_once() -> None:
    first = plan(unscheduled(), seconds=1)
    assert events(first) == [
        (
            "migrationTargetPodUnschedulable",
            "Migration target pod for VMI [default/vmi-fedora] is currently unschedulable.",
        )
    ]
    raw = migration("Scheduling", status={"conditions": [progressing(first)]})
    second = plan_migration(migration_view(raw, vmi(primary(), nic("blue")), pod(), unscheduled()), now=later(20))
    assert second.is_empty
    assert second.announcements == ()


class TestWithoutPod:
    """Nothing keeps a migration for ever that cannot have a target pod."""

    def stuck(self, *, seconds: float, annotations: Json | None = None, reason: str = "NoCandidateNode") -> Plan:
        row = {
            "type": "Progressing", "status": "False", "reason": reason, "message": "said",
            "lastTransitionTime": CREATED,
        }  # fmt: skip
        raw = migration("Pending", annotations=annotations, status={"conditions": [row]})
        refusal = Refusal(reason="FailedCreate", message="denied by policy") if reason == "FailedCreate" else None
        nodes = [node(NODE)] if reason == "NoCandidateNode" else None
        view = migration_view(raw, vmi(), pod(), nodes=nodes, refusal=refusal)
        return plan_migration(view, now=later(seconds - 0.678))

    @pytest.mark.parametrize(
        ("reason", "annotations", "seconds"),
        [
            pytest.param("NoCandidateNode", {}, 300, id="no node"),
            pytest.param("NoCandidateNode", {UNSCHEDULABLE: "0"}, 0, id="no node, and no patience"),
            pytest.param("FailedCreate", {}, 900, id="the API server refuses it"),
            pytest.param("FailedCreate", {PENDING: "30"}, 30, id="the API server refuses it, overridden"),
        ],
    )
    def test_it_fails_in_time(self, reason: str, annotations: Json, seconds: int) -> None:
        if seconds:
            assert status(self.stuck(seconds=seconds - 1, reason=reason, annotations=annotations)).get("phase") is None
        after = self.stuck(seconds=seconds, reason=reason, annotations=annotations)
        assert status(after)["phase"] == "Failed"
        assert progressing(after)["reason"] == reason
        assert names(after) == ["PatchStatus VirtualMachineInstanceMigration"]

    def test_between_two_tries_the_first_one_still_counts(self) -> None:
        """What was refused is forgotten before it is tried again; its time goes on."""
        row = {
            "type": "Progressing", "status": "False", "reason": "FailedCreate", "message": "Error creating pod: denied",
            "lastTransitionTime": CREATED,
        }  # fmt: skip
        raw = migration("Pending", status={"conditions": [row]})
        trying = plan_migration(migration_view(raw, vmi(), pod()), now=later(899 - 0.678))
        assert names(trying) == ["Create Pod"]
        over = plan_migration(migration_view(raw, vmi(), pod()), now=later(900 - 0.678))
        assert status(over)["phase"] == "Failed"

    @pytest.mark.parametrize("slot", [MigrationSlot(is_granted=True), MigrationSlot()], ids=["granted", "asked for"])
    def test_a_quota_is_reported_until_there_is_a_pod(self, slot: MigrationSlot) -> None:
        """Each try said that nothing is in the way, and the next word that there is."""
        row = {"type": "Progressing", "status": "True", "reason": "RejectedByResourceQuota", "message": "exceeded"}
        raw = migration("Pending", status={"conditions": [row | {"lastTransitionTime": CREATED}]})
        kept = plan_migration(migration_view(raw, vmi(), pod(), slot=slot, report_pending_since=later(-60)), now=NOW)
        assert progressing(kept)["reason"] == "RejectedByResourceQuota"
        queued = MigrationSlot(reason="WaitingForSlot", message="2nd in the queue")
        reported = plan_migration(
            migration_view(raw, vmi(), pod(), slot=queued, report_pending_since=later(-60)), now=NOW
        )
        assert progressing(reported)["message"] == "2nd in the queue"

    def test_a_quota_is_waited_for_without_end(self) -> None:
        refusal = Refusal(reason="FailedCreate", message="exceeded quota: q")
        plan = plan_migration(migration_view(migration("Pending"), vmi(), pod(), refusal=refusal), now=later(10**6))
        assert progressing(plan)["reason"] == "RejectedByResourceQuota"
        assert status(plan).get("phase") is None
        assert {"type": "migrationRejectedByResourceQuota", "status": "True"}.items() <= status(plan)["conditions"][
            -1
        ].items()


FULL = MigrationSlot(is_granted=True, reason="WaitingForSlot", message="3rd in the queue")
SCHEDULED = {"phaseTransitionTimestamps": [{"phase": "Scheduled", "phaseTransitionTimestamp": CREATED}]}


def ready_since(seconds: float, *, slot: MigrationSlot, annotations: Json | None = None, **members: Any) -> Plan:
    """What is decided so many seconds after the target pod, which was made long before, was ready."""
    raw = migration("Scheduled", annotations=annotations, status=SCHEDULED)
    target = target_pod(networks=[element("blue")], attached=["blue"], creationTimestamp="2026-01-02T01:00:00Z")
    of = vmi(primary(), nic("blue"), **members)
    return plan_migration(migration_view(raw, of, pod(), target, slot=slot), now=later(seconds - 0.678))


@pytest.mark.parametrize(
    ("annotations", "seconds"), [({}, 900), ({PENDING: "20"}, 20)], ids=["by default", "overridden"]
)
def test_a_target_pod_that_is_ready_waits_for_its_turn_no_longer_than_one_that_is_not(
    annotations: Json, seconds: int
) -> None:
    """It waited without end, and held a slot that others needed; its VM could not take a NIC meanwhile."""
    before = ready_since(seconds - 1, slot=FULL, annotations=annotations)
    assert status(before).get("phase") != "Failed"
    assert before.again_at == later(seconds - 0.678)
    assert progressing(before)["message"].startswith("3rd in the queue; given up at 2026-01-02T03:")
    after = ready_since(seconds, slot=FULL, annotations=annotations)
    assert progressing(after)["reason"] == "NoSlotInTime"
    assert progressing(after)["message"] == (
        f"target pod {TARGET} was ready on node02, and waited for its turn for {seconds} s: 3rd in the queue"
    )
    assert events(after) == [("FailedMigration", "Migration target pod was removed during active migration.")]


def test_a_target_pod_whose_turn_comes_with_its_deadline_is_handed_off() -> None:
    plan = ready_since(2000, slot=replace(FULL, inbound_node="node02"))
    assert status(plan).get("phase") != "Failed"
    assert "PatchMigrationState" in " ".join(type(item).__name__ for item in plan.actions)


def test_a_target_pod_that_has_its_turn_and_a_vm_that_cannot_move() -> None:
    plan = ready_since(2000, slot=replace(FULL, inbound_node="node02"), phase="Scheduled")
    assert progressing(plan)["reason"] == "NoSlotInTime"
    assert progressing(plan)["message"].endswith("for 900 s: the VM could not move")


def test_a_target_pod_of_which_nobody_says_since_when_it_is_ready_counts_from_its_creation() -> None:
    raw = migration("Scheduled")
    target = target_pod(networks=[element("blue")], attached=["blue"], creationTimestamp=CREATED)
    view = migration_view(raw, vmi(primary(), nic("blue")), pod(), target, slot=FULL)
    assert status(plan_migration(view, now=later(899 - 0.678))).get("phase") != "Failed"
    assert status(plan_migration(view, now=later(900 - 0.678)))["phase"] == "Failed"
