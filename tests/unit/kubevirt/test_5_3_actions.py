"""Sections 5.3 to 5.7: target pod and limits, hand-off, back-off, cancel, clean up."""

from typing import Any

import pytest
from tests.unit.kubevirt.build import LIVE, NOW, ago, condition, migration, net, nic, pod, target, uid, vmi

from nicplug_sandbox.kubevirt.migration_actions import collect_garbage, sync
from nicplug_sandbox.kubevirt.migration_rules import View, next_pending
from nicplug_sandbox.kubevirt.settings import ClusterSettings
from nicplug_sandbox.kubevirt.writes import Decision

OURS = {"migrationUid": uid("mig"), "targetNode": "node02", "sourceNode": "node01"}
DELETED: dict[str, Any] = {"deletionTimestamp": "2026-06-01T11:59:59Z"}


def act(
    mig: Any, *, machine: Any = None, pods: tuple[Any, ...] = (), others: tuple[Any, ...] = (), **more: Any
) -> Decision:
    machine = machine or vmi(conditions=(LIVE,))
    vmis = [machine, *(vmi(name=item["spec"]["vmiName"], **more) for item in others)]
    view = View(migration=mig, vmi=machine, vmis=vmis, migrations=[mig, *others], pods=[pod(), *pods])
    return sync(view, now=NOW)


def test_the_target_pod_is_born_with_all_nics_apart_from_the_source() -> None:
    machine = vmi(nic("red"), nic("blue", state="absent"), networks=[net("red"), net("blue")], conditions=(LIVE,))
    (made,) = act(migration(phase="Pending"), machine=machine).writes
    assert isinstance(made.body, dict)
    metadata = made.body["metadata"]
    assert metadata["generateName"] == "virt-launcher-fedora-"
    assert metadata["labels"]["kubevirt.io/migrationJobUID"] == uid("mig")
    assert metadata["annotations"]["kubevirt.io/migrationJobName"] == "mig"
    assert metadata["annotations"]["k8s.v1.cni.cncf.io/networks"] == (
        '[{"name":"red-nad","namespace":"default","interface":"podb1f51a511f1"}]'
    )
    (term,) = made.body["spec"]["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert term["labelSelector"]["matchLabels"] == {"kubevirt.io/created-by": uid("vmi-fedora")}
    assert made.said is not None
    assert made.failed is not None
    assert (made.said.kind, made.failed.kind) == ("VirtualMachineInstanceMigration", "VirtualMachineInstance")


@pytest.mark.parametrize(
    ("priority", "seconds"), [(None, 5.0), ("user-triggered", 3.0), ("system-critical", 1.0)], ids=str
)
@pytest.mark.parametrize(("count", "node"), [(5, "node09"), (2, "node01")], ids=["per cluster", "per node"])
def test_at_the_limits_it_waits_as_its_priority_says(count: int, node: str, priority: str, seconds: float) -> None:
    others = tuple(migration(f"m{number}", phase="Running", vmi=f"vm{number}") for number in range(count))
    waiting = migration(phase="Pending", priority=priority)
    assert act(waiting, others=others, node=node) == Decision(again=seconds)
    assert act(waiting, others=others[:-1], node=node).writes


def test_a_pending_one_that_has_a_target_pod_counts() -> None:
    others = tuple(migration(f"m{number}", phase="Pending", vmi=f"vm{number}") for number in range(5))
    pods = tuple(target(f"t{number}", of=f"m{number}", owner=f"vmi-vm{number}") for number in range(5))
    assert act(migration(phase="Pending"), others=others, pods=pods, node="node09").again == 5.0
    assert act(migration(phase="Pending"), others=others, node="node09").writes


def test_the_limits_are_those_of_the_cr() -> None:
    assert (ClusterSettings().parallel_per_cluster, ClusterSettings().outbound_per_node) == (5, 2)


def test_a_second_active_pod_of_the_vmi_is_waited_for() -> None:
    assert act(migration(phase="Pending"), pods=(pod(name="other", node="node03"),)) == Decision(again=1.0)


def test_hand_off_replaces_what_it_has_seen() -> None:
    old = {"migrationUid": uid("old"), "completed": True}
    machine = vmi(conditions=(LIVE,), status={"migrationState": old})
    found = act(migration(phase="Scheduled"), machine=machine, pods=(target(),))
    (handed,) = found.writes
    assert isinstance(handed.body, list)
    assert [(item["op"], item["path"]) for item in handed.body] == [
        ("test", "/status/migrationState"),
        ("replace", "/status/migrationState"),
        ("test", "/metadata/labels"),
        ("replace", "/metadata/labels"),
    ]
    assert handed.body[1]["value"] == {
        **OURS,
        "targetPod": "virt-launcher-fedora-fghij",
        "sourcePod": "virt-launcher-fedora-abcde",
    }
    assert handed.body[3]["value"]["kubevirt.io/migrationTargetNodeName"] == "node02"
    assert handed.said is not None
    assert handed.said.message == "Migration target pod is ready for preparation by virt-handler."


def test_nothing_is_done_beside_anothers_migration() -> None:
    machine = vmi(status={"migrationState": {"migrationUid": uid("other")}})
    found = act(migration(phase="Pending"), machine=machine, others=(migration("other", phase="Running"),))
    assert found.error == "vmi is ineligible for migration because another migration job is running"


@pytest.mark.parametrize("phase", ["Pending", "Scheduling", "Scheduled"])
def test_before_the_hand_off_cancel_deletes_the_target_pod(phase: str) -> None:
    (gone,) = act(migration(phase=phase, **DELETED), pods=(target(),)).writes
    assert (gone.verb, gone.name) == ("delete", "virt-launcher-fedora-fghij")
    assert gone.said is not None
    text = "migration canceled and pod default/virt-launcher-fedora-fghij is deleted"
    assert (gone.said.reason, gone.said.message) == ("SuccessfulDelete", text)


def test_between_hand_off_and_running_cancel_does_nothing_and_then_asks_the_node() -> None:
    machine = vmi(status={"migrationState": OURS})
    assert act(migration(phase="TargetReady", **DELETED), machine=machine, pods=(target(),)).writes == ()
    (asked,) = act(migration(phase="Running", **DELETED), machine=machine, pods=(target(),)).writes
    assert isinstance(asked.body, list)
    assert asked.body[-1]["value"]["abortRequested"] is True
    assert asked.said is not None
    assert asked.said.message == "Migration is ready to be canceled by virt-handler."


def test_a_lost_target_pod_is_told_in_the_vmi() -> None:
    machine = vmi(status={"migrationState": OURS})
    (marked,) = act(migration(phase="PreparingTarget"), machine=machine).writes
    assert isinstance(marked.body, list)
    assert marked.body[0] == {"op": "test", "path": "/status/migrationState/migrationUid", "value": uid("mig")}
    assert {item["path"].rsplit("/", 1)[1] for item in marked.body[1:]} == {
        "failed", "completed", "endTimestamp", "startTimestamp", "failureReason",
    }  # fmt: skip
    assert marked.said is not None
    assert marked.said.message == (
        f"VirtualMachineInstance migration uid {uid('mig')} failed. reason: Target pod is down"
    )


def failed(name: str, age: float) -> Any:
    times = [{"phase": "Failed", "phaseTransitionTimestamp": ago(age)}]
    return migration(name, phase="Failed", marked=True, age=age + 5, status={"phaseTransitionTimestamps": times})


@pytest.mark.parametrize(("failures", "left"), [(1, 15.0), (2, 35.0), (3, 75.0)])
def test_marked_migrations_back_off_after_failures(failures: int, left: float) -> None:
    """5 s after the last failure: 20 s, doubled by each further failure, less those 5 s."""
    others = tuple(failed(f"f{number}", 5 + 60 * number) for number in range(failures))
    found = act(migration(phase="Pending", marked=True, age=1), others=others)
    assert found.again == left
    assert [item.message for item in found.events] == ["backoff migrating vmi default/fedora"]


def test_others_do_not_and_a_success_ends_it() -> None:
    assert act(migration(phase="Pending", age=1), others=(failed("f", 5),)).writes
    done = migration("done", phase="Succeeded", marked=True, age=8)
    assert act(migration(phase="Pending", marked=True, age=1), others=(done, failed("f", 30))).writes


@pytest.mark.parametrize(
    ("age", "conditions", "text"),
    [
        (299, [condition("PodScheduled", "False", reason="Unschedulable")], None),
        (301, [condition("PodScheduled", "False", reason="Unschedulable")], "unschedulable"),
        (899, [], None),
        (901, [], "pending"),
    ],
)
def test_a_target_pod_that_stays_pending_is_given_up(age: float, conditions: Any, text: str | None) -> None:
    waiting = target(phase="Pending", age=age)
    waiting["status"]["conditions"] = conditions
    found = act(migration(phase="Scheduling"), pods=(waiting,))
    assert [item.said.message for item in found.writes if item.said] == (
        [f"{text} pod default/virt-launcher-fedora-fghij timeout period exceeded"] if text else []
    )
    assert (found.again is None) == (text is not None)


def test_of_final_migrations_the_five_newest_stay() -> None:
    mine = migration("m0", phase="Succeeded", age=0)
    others = [migration(f"m{number}", phase="Failed", age=number) for number in range(1, 8)]
    found = collect_garbage(View(migration=mine, vmi=vmi(), migrations=[*others, mine], pods=[]))
    assert [item.name for item in found.writes] == ["m7", "m6", "m5"]


def test_5_1_of_those_that_wait_the_most_urgent_go_on_at_once() -> None:
    urgent = [migration(f"u{number}", phase="Pending", priority="user-triggered") for number in range(2)]
    others = [migration("plain", phase="Pending"), migration("runs", phase="Running", priority="system-critical")]
    assert next_pending([*others, *urgent]) == urgent
    assert next_pending(others) == others[:1]
    assert next_pending([]) == []
