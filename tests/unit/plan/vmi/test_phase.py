"""The life of a VMI by the rows of KubeVirt 1.9's `updateStatus`: phases, `Ready`, what follows from the pod."""

from typing import Any

import pytest
from tests.build import NODE, NOW, POD_UID, Json, later, migration_state, pinned, pod, vmi, vmi_view, waiting
from tests.unit.plan.outcome import status_of

from nicplug.model.frozen_json import thaw
from nicplug.plan.actions import ConfirmPod, PatchStatus
from nicplug.plan.outcome import Plan
from nicplug.plan.reasons import Reason
from nicplug.plan.views import Refusal
from nicplug.plan.vmi.plan_vmi import plan_vmi

BOUND: dict[str, Any] = {"phase": "Pending", "ready": False}
ENDED = {"containerStatuses": [{"name": "compute", "state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}]}


BURSTABLE, GUARANTEED = (pod(status={"qosClass": qos}) for qos in ("Burstable", "Guaranteed"))
PULLING = pod(status=waiting("ErrImagePull"))
PULLING_INIT = pod(status=waiting("ErrImagePull", where="initContainerStatuses"))
PROBED = pod(conditions=[{"type": "Ready", "status": "False", "reason": "Probe", "message": "no answer"}])


def _plan(raw: Json, *pods: Json, **view: Any) -> Plan:
    return plan_vmi(vmi_view(raw, *pods, report_pending_since=later(-9), **view), now=NOW)


def _rows(raw: Json, *pods: Json, **view: Any) -> dict[str, Json]:
    """All conditions after the plan, by type."""
    status = raw.get("status", {}) | status_of(_plan(raw, *pods, **view))
    return {item["type"]: item for item in status.get("conditions") or []}


PHASES = [
    # Unprocessed.
    ("unset, no pod: the pod is made, Pending is not written", vmi(phase=""), [], None),
    ("Pending, pod exists: Scheduling", vmi(phase="Pending"), [pod(**BOUND, node="")], "Scheduling"),
    ("unset, pod ready before anybody looked: Scheduled", vmi(phase=""), [pod()], "Scheduled"),
    ("Pending, pod ended before anybody looked: Failed", vmi(phase="Pending"), [pod(phase="Succeeded")], "Failed"),
    ("Pending, pod going before anybody looked: Failed", vmi(phase="Pending"), [pod(**BOUND, deleting=True)], "Failed"),
    # Scheduling.
    ("Scheduling, pod not ready: Scheduling", vmi(phase="Scheduling"), [pod(**BOUND)], None),
    ("Scheduling, pod ready: Scheduled", vmi(phase="Scheduling"), [pod()], "Scheduled"),
    ("Scheduling, pod failed: Failed", vmi(phase="Scheduling"), [pod(phase="Failed")], "Failed"),
    ("Scheduling, pod succeeded: Failed", vmi(phase="Scheduling"), [pod(phase="Succeeded")], "Failed"),
    ("Scheduling, compute ended: Failed", vmi(phase="Scheduling"), [pod(status=ENDED)], "Failed"),
    ("Scheduling, pod terminating: Failed", vmi(phase="Scheduling"), [pod(deleting=True)], "Failed"),
    ("Scheduling, no pod: Failed", vmi(phase="Scheduling"), [], "Failed"),
    ("pinned CPUs, pod not Guaranteed: Scheduling", pinned(phase="Scheduling"), [BURSTABLE], None),
    ("pinned CPUs, pod Guaranteed: Scheduled", pinned(phase="Scheduling"), [GUARANTEED], "Scheduled"),
    # Scheduled and Running: the node agent's.
    ("Scheduled, pod exists: the node agent's", vmi(phase="Scheduled"), [pod()], None),
    ("Scheduled, no pod: Failed", vmi(phase="Scheduled"), [], "Failed"),
    ("Running, pod exists: the node agent's", vmi(), [pod()], None),
    ("Running, pod terminating: the node agent's", vmi(), [pod(deleting=True)], None),
    ("Running, pod ended: the node agent tells how", vmi(), [pod(phase="Failed")], None),
    ("Running, no pod: Failed", vmi(), [], "Failed"),
    # Final, and what is somebody else's.
    ("Succeeded, no pod: stays", vmi(phase="Succeeded"), [], None),
    ("Failed, pod left: stays", vmi(phase="Failed"), [pod(phase="Failed")], None),
    ("WaitingForSync: left alone", vmi(phase="WaitingForSync"), [pod()], None),
    ("WaitingForSync without a pod: left alone", vmi(phase="WaitingForSync"), [], None),
    ("Unknown: left alone", vmi(phase="Unknown"), [], None),
    ("a phase of a later KubeVirt: left alone", vmi(phase="Dreaming"), [], None),
]


@pytest.mark.parametrize(("title", "raw", "pods", "wanted"), PHASES, ids=[case[0] for case in PHASES])
def test_phase(title: str, raw: Json, pods: list[Json], wanted: str | None) -> None:
    assert status_of(_plan(raw, *pods)).get("phase") == wanted, title


LONG_OVER = {"name": "compute", "state": {"terminated": {"exitCode": 0, "finishedAt": "2020-01-01T00:00:00Z"}}}
LEFT = pod(phase="Succeeded", status={"containerStatuses": [LONG_OVER]})


@pytest.mark.parametrize("pods", [[], [LEFT]], ids=["no pod", "a pod that ended long ago"])
def test_a_guest_fails_only_on_the_node_where_it_was_seen(pods: list[Json]) -> None:
    """It had moved on a moment before: the end of the pod that it had left was taken for its own."""
    (patch,) = [action for action in _plan(vmi(), *pods).actions if isinstance(action, PatchStatus)]
    assert thaw(patch.wanted)["phase"] == "Failed"
    assert {"op": "test", "path": "/status/nodeName", "value": NODE} in [dict(item) for item in patch.json_patch()]


@pytest.mark.parametrize("pods", [[], [LEFT]], ids=["no pod", "a pod that ended long ago"])
def test_a_guest_failed_with_its_source_pod_before_its_hand_off_was_heard_of(pods: list[Json]) -> None:
    """The watch of VMIs lagged behind that of pods: the guest may have arrived in its target pod."""
    (patch,) = [action for action in _plan(vmi(), *pods).actions if isinstance(action, PatchStatus)]
    operations = [dict(item) for item in patch.json_patch()]
    assert {"op": "test", "path": "/status/migrationState", "value": None} in operations
    assert not [item for item in operations if item["op"] != "test" and item["path"] == "/status/migrationState"]


NO_POD = "virt-launcher pod has not yet been scheduled"
GOING = "virt-launcher pod is terminating"
NO_CONDITION = "virt-launcher pod is missing the Ready condition"
NO_GUEST = "Guest VM is not reported as running"
READY = [
    ("no pod", vmi(phase="Succeeded"), [], "False", "PodNotExists", NO_POD),
    ("pod terminating", vmi(), [pod(deleting=True)], "False", "PodTerminating", GOING),
    ("pod down", vmi(), [pod(phase="Failed")], "False", "PodTerminating", GOING),
    ("compute down", vmi(), [pod(status=ENDED)], "False", "PodTerminating", GOING),
    (
        "guest not running",
        vmi(phase="Scheduled"),
        [pod()],
        "False",
        "GuestNotRunning",
        "Guest VM is not reported as running",
    ),
    ("copied from the pod: True", vmi(), [pod()], "True", "", ""),
    ("copied from the pod: False", vmi(), [PROBED], "False", "Probe", "no answer"),
    (
        "pod without a Ready condition",
        vmi(),
        [pod(conditions=[])],
        "False",
        "PodConditionMissing",
        "virt-launcher pod is missing the Ready condition",
    ),
]


@pytest.mark.parametrize(
    ("title", "raw", "pods", "status", "reason", "message"), READY, ids=[case[0] for case in READY]
)
def test_ready(title: str, raw: Json, pods: list[Json], status: str, reason: str, message: str) -> None:
    row = _rows(raw, *pods)["Ready"]
    assert (row["status"], row.get("reason", ""), row.get("message", "")) == (status, reason, message), title


REFUSED = Refusal(reason=Reason.FAILED_CREATE, message="exceeded quota")
THEIRS = {"type": "Synchronized", "status": "False", "reason": "SyncFailed", "message": "of the node agent"}
STALE = {"type": "Synchronized", "status": "False", "reason": "ErrImagePull", "message": "x"}
STARTING = vmi(phase="Scheduling")
SYNCHRONIZED = [
    ("the pod is refused", vmi(phase=""), [], REFUSED, "FailedCreate"),
    ("the name is taken", vmi(phase=""), [], Refusal(reason=Reason.NAME_TAKEN, message="x"), "NameTaken"),
    ("the image cannot be pulled", STARTING, [PULLING], None, "ErrImagePull"),
    ("the kubelet backs off", STARTING, [pod(status=waiting("ImagePullBackOff"))], None, "ImagePullBackOff"),
    ("image of an init container", STARTING, [PULLING_INIT], None, "ErrImagePull"),
    ("an image error wins over a refusal", STARTING, [PULLING], REFUSED, "ErrImagePull"),
    ("any other waiting reason is a start", STARTING, [pod(status=waiting("ContainerCreating"))], None, None),
    ("resources not guaranteed", pinned(phase="Scheduling"), [BURSTABLE], None, "FailedGuaranteePodResources"),
    ("removed when the pod starts", vmi(phase="Scheduling", conditions=[STALE]), [pod()], None, None),
    ("removed when the guest runs", vmi(conditions=[STALE]), [pod()], None, None),
    ("the node agent's stays while it owns the VMI", vmi(conditions=[THEIRS]), [pod()], REFUSED, "SyncFailed"),
    ("the node agent's goes when it does not", vmi(phase="Failed", conditions=[THEIRS]), [], None, None),
]


@pytest.mark.parametrize(
    ("title", "raw", "pods", "refusal", "reason"), SYNCHRONIZED, ids=[case[0] for case in SYNCHRONIZED]
)
def test_synchronized(title: str, raw: Json, pods: list[Json], refusal: Refusal | None, reason: str | None) -> None:
    row = _rows(raw, *pods, refusal=refusal).get("Synchronized", {})
    assert row.get("reason") == reason, title
    assert row.get("status", "False") == "False"


def test_the_kubelet_is_quoted_and_not_without_end() -> None:
    endless = pod(status=waiting("ErrImagePull", message="no such host " + "x" * 300_000))
    message = _rows(STARTING, endless)["Synchronized"]["message"]
    assert message.startswith("no such host")
    assert len(message) < 1100


SCHEDULED = [
    (
        "no node fits",
        [{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3"}],
        "Unschedulable",
    ),
    (
        "held back by a gate",
        [{"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}],
        "SchedulingGated",
    ),
    ("a node was found", [{"type": "PodScheduled", "status": "True"}], None),
    ("the scheduler has not looked", [], None),
]


@pytest.mark.parametrize(("title", "conditions", "reason"), SCHEDULED, ids=[case[0] for case in SCHEDULED])
def test_pod_scheduled_is_copied_while_it_is_false(title: str, conditions: list[Json], reason: str | None) -> None:
    before = {"type": "PodScheduled", "status": "False", "reason": "Old"}
    row = _rows(vmi(phase="Scheduling", conditions=[before]), pod(**BOUND, node="", conditions=conditions))
    assert row.get("PodScheduled", {}).get("reason") == reason, title


def test_provisioning_ends_when_there_is_a_pod() -> None:
    before = {"type": "Provisioning", "status": "True"}
    assert "Provisioning" not in _rows(vmi(phase="Scheduling", conditions=[before]), pod(**BOUND))


def test_eviction_requested_follows_the_mark_of_the_node() -> None:
    raw = vmi()
    raw["status"]["evacuationNodeName"] = NODE
    row = _rows(raw, pod())["EvictionRequested"]
    assert (row["status"], row["reason"]) == ("True", "EvictionRequested")
    assert row["message"] == "VMI is marked for eviction"
    marked = vmi(conditions=[{"type": "EvictionRequested", "status": "True", "reason": "EvictionRequested"}])
    assert "EvictionRequested" not in _rows(marked, pod())


def test_a_new_phase_has_its_moment_and_what_follows_from_the_pod() -> None:
    status = status_of(_plan(vmi(phase="Scheduling"), BURSTABLE))
    assert status["phaseTransitionTimestamps"] == [
        {"phase": "Scheduled", "phaseTransitionTimestamp": "2026-01-02T03:04:05Z"}
    ]
    assert (status["nodeName"], status["migrationTransport"]) == ("node01", "Unix")
    assert (status["launcherContainerImageVersion"], status["qosClass"]) == ("launcher:1", "Burstable")
    assert status["activePods"] == {POD_UID: "node01"}


def test_every_pod_that_it_controls_is_an_active_one() -> None:
    other = pod(name="virt-launcher-target", uid="b", node="node02")
    assert status_of(_plan(vmi(), pod(), other))["activePods"] == {POD_UID: "node01", "b": "node02"}


class TestMissingPod:
    """A pod that is not in sight may only have lost its label; nothing is failed on that."""

    @pytest.mark.parametrize("phase", ["Scheduling", "Scheduled", "Running"])
    def test_the_api_server_is_asked_first(self, phase: str) -> None:
        (action,) = _plan(vmi(phase=phase), podless_since=None).actions
        assert isinstance(action, ConfirmPod)
        assert action.key.name == pod()["metadata"]["name"]

    def test_not_only_by_the_name_that_somebody_wrote(self) -> None:
        """A forged source pod does not exist; the guest was failed on that, in its pod without a label."""
        forged = migration_state(source=pod(name="forged"), target=pod(name="x", node="y"))
        (action,) = _plan(vmi(moving=forged), podless_since=None).actions
        assert isinstance(action, ConfirmPod)
        assert action.key.name == "forged"
        assert pod()["metadata"]["name"] in [key.name for key in action.keys]

    @pytest.mark.parametrize("phase", ["", "Pending", "Succeeded", "Failed", "WaitingForSync"])
    def test_not_where_nothing_hangs_on_it(self, phase: str) -> None:
        actions = _plan(vmi(phase=phase), podless_since=None).actions
        assert not any(isinstance(action, ConfirmPod) for action in actions)

    def test_a_living_pod_gets_its_label_back(self) -> None:
        labels = {"kubevirt.io/created-by": "x"}
        (action, *_) = _plan(vmi(), pod(labels=labels)).actions
        assert type(action).__name__ == "PatchLabels"
        assert _plan(vmi(), pod(labels=labels)).actions != _plan(vmi(), pod()).actions


EVICTED = {"phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory."}
DRAINED = {
    "conditions": [
        {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": "EvictionByEvictionAPI",
            "message": "Eviction API: evicting",
        }
    ]
}
CAUSES = [
    ("evicted by the kubelet", vmi(), [pod(status=EVICTED)], "Evicted", "low on resource: memory"),
    ("evicted by the eviction API", vmi(), [pod(deleting=True, status=DRAINED)], "EvictionByEvictionAPI", "evicting"),
    ("crashed", vmi(), [pod(phase="Failed", status=ENDED)], "OOMKilled", "exit code 137"),
    ("deleted by hand", vmi(), [pod(deleting=True)], "LauncherPodLost", "somebody deletes the pod"),
    ("vanished", vmi(), [], "LauncherPodLost", "does not exist any more"),
    (
        "crashed, and the node agent told it first",
        vmi(phase="Failed"),
        [pod(phase="Failed", status=ENDED)],
        "OOMKilled",
        "137",
    ),
]


@pytest.mark.parametrize(("title", "raw", "pods", "reason", "says"), CAUSES, ids=[case[0] for case in CAUSES])
def test_who_took_the_pod_is_reported(title: str, raw: Json, pods: list[Json], reason: str, says: str) -> None:
    plan = _plan(raw, *pods)
    assert status_of(plan)["reason"] == reason, title
    (announcement,) = (item for item in plan.announcements if item.reason == Reason.LAUNCHER_POD_LOST)
    assert says in announcement.message
    raw["status"] = raw.get("status", {}) | {"reason": reason}
    assert not [item for item in _plan(raw, *pods).announcements if item.reason == Reason.LAUNCHER_POD_LOST]


def test_a_crash_is_reported_when_the_vm_s_controller_has_deleted_the_vmi_already() -> None:
    """The node agent's Failed was heard before the pod's end: the VM was on its way to the next start."""
    crashed = pod(phase="Failed", status=ENDED)
    raw = vmi(phase="Failed", deleting=True)
    plan = _plan(raw, crashed)
    assert status_of(plan)["reason"] == "OOMKilled"
    assert [item.reason for item in plan.announcements] == ["LauncherPodLost", "SuccessfulDelete"]
    raw["status"]["reason"] = "OOMKilled"
    assert "LauncherPodLost" not in [item.reason for item in _plan(raw, crashed).announcements]


@pytest.mark.parametrize(
    ("phase", "launcher"),
    [
        ("Running", pod(phase="Failed", status=ENDED)),
        ("Failed", pod(phase="Failed", status=ENDED, deleting=True)),
        ("Succeeded", pod(phase="Succeeded")),
    ],
    ids=["its node agent has not told an end", "its pod was deleted with it", "it shut itself down"],
)
def test_a_guest_that_was_stopped_has_not_crashed(phase: str, launcher: Json) -> None:
    plan = _plan(vmi(phase=phase, deleting=True), launcher)
    assert "LauncherPodLost" not in [item.reason for item in plan.announcements]


def test_the_first_cause_stays() -> None:
    raw = vmi()
    raw["status"]["reason"] = "EvictionByEvictionAPI"
    status = status_of(_plan(raw))
    assert status["phase"] == "Failed"
    assert "reason" not in status


def test_a_guest_that_ends_by_itself_has_lost_nothing() -> None:
    ended = {"containerStatuses": [{"name": "compute", "state": {"terminated": {"exitCode": 0}}}]}
    plan = _plan(vmi(phase="Succeeded"), pod(phase="Succeeded", status=ended))
    assert "reason" not in status_of(plan)
    assert plan.announcements == ()


class TestNodeAgentIsSilent:
    """The pod has ended for certain and nobody says how: the VMI must not say Running for ever."""

    def _pod(self, seconds_ago: float, phase: str = "Failed") -> Json:
        moment = later(-seconds_ago).isoformat()
        terminated = {"exitCode": 1, "finishedAt": moment}
        return pod(
            phase=phase, status={"containerStatuses": [{"name": "compute", "state": {"terminated": terminated}}]}
        )

    def test_it_has_two_minutes(self) -> None:
        plan = _plan(vmi(), self._pod(60))
        assert "phase" not in status_of(plan)
        assert plan.again_at == later(60)

    def test_then_the_vmi_has_failed(self) -> None:
        assert status_of(_plan(vmi(), self._pod(121)))["phase"] == "Failed"

    @pytest.mark.parametrize("skew", [-60, 60], ids=["behind", "ahead"])
    def test_a_node_whose_clock_is_a_minute_off_has_a_minute_all_the_same(self, skew: int) -> None:
        """It ended 59 s ago by our clock; the pod has the node's."""
        assert "phase" not in status_of(_plan(vmi(), self._pod(59 - skew)))
        assert status_of(_plan(vmi(), self._pod(181 - skew)))["phase"] == "Failed"

    def test_an_evicted_pod_never_had_a_container(self) -> None:
        conditions = [{"type": "Ready", "status": "False", "lastTransitionTime": later(-200).isoformat()}]
        evicted = pod(status={"phase": "Failed", "containerStatuses": []}, conditions=conditions)
        assert status_of(_plan(vmi(), evicted))["phase"] == "Failed"

    def test_a_pod_that_is_only_going_may_still_run_its_guest(self) -> None:
        """A node that is lost: its pod is being deleted for hours, and a second guest would write to the same disk."""
        going = pod(deleting=True, deletionTimestamp=later(-7200).isoformat())
        plan = _plan(vmi(), going)
        assert "phase" not in status_of(plan)
        assert _rows(vmi(), going)["Ready"]["reason"] == "PodTerminating"
