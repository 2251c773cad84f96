"""A node that is away while a VM is copied: nobody knows where the guest is, so nothing ends, and a person is told."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from tests.build import (
    NODE,
    POD_NAME,
    TARGET_NODE,
    Json,
    later,
    migration,
    migration_state,
    migration_view,
    node,
    pod,
    target_pod,
    vmi,
)
from tests.unit.plan.migration import outcome
from tests.unit.plan.migration.outcome import events, names, progressing, status

from nicplug.plan.migration.plan_migration import plan_migration
from nicplug.plan.outcome import Plan

TARGET = target_pod()["metadata"]["name"]
STARTED: Json = {"targetNodeAddress": "10.0.0.2", "startTimestamp": "2026-01-02T03:04:00Z"}
ARRIVED: Json = {**STARTED, "targetNodeDomainReadyTimestamp": "2026-01-02T03:04:03Z"}
BY_FORCE = "kubectl delete pod -n default"


def plan(
    nodes: Sequence[Json] | None,
    *,
    phase: str = "Running",
    state: Json = STARTED,
    deleting: bool = False,
    pods: Sequence[Json] | None = None,
    seconds: float = 10**5,
) -> Plan:
    """What is decided a day later; an abort was asked for already."""
    members = {**state, **({"abortRequested": True} if deleting and phase == "Running" else {})}
    pods = [pod(), target_pod()] if pods is None else pods
    view = migration_view(
        migration(phase, deleting=deleting), vmi(moving=migration_state(**members)), *pods, nodes=nodes
    )
    return plan_migration(replace(view, report_pending_since=later(-99)), now=later(seconds))


BOTH = [node(NODE), node(TARGET_NODE)]
LOST = [
    pytest.param(
        [node(NODE, ready=False), node(TARGET_NODE)],
        STARTED,
        "node node01, which the VM is to leave, is not ready",
        f"{BY_FORCE} {POD_NAME} --force",
        id="the source is not ready",
    ),
    pytest.param(
        [node(TARGET_NODE)],
        STARTED,
        "node node01, which the VM is to leave, is not in the cluster any more",
        f"{BY_FORCE} {POD_NAME} --force",
        id="the source is gone",
    ),
    pytest.param(
        [node(NODE), node(TARGET_NODE, ready=False)],
        STARTED,
        "node node02, which the VM is to come to, is not ready",
        f"{BY_FORCE} {TARGET} --force",
        id="the target is not ready",
    ),
    pytest.param(
        [node(NODE)],
        ARRIVED,
        "node node02, which the VM has come to, is not in the cluster any more",
        f"{BY_FORCE} {TARGET} --force",
        id="the target is gone, after the guest has come there",
    ),
]


@pytest.mark.parametrize("deleting", [False, True], ids=["copies", "is cancelled"])
@pytest.mark.parametrize(("nodes", "state", "what", "remedy"), LOST)
def test_it_names_the_node_and_what_to_do(
    nodes: Sequence[Json], state: Json, what: str, remedy: str, deleting: bool
) -> None:
    made = plan(nodes, state=state, deleting=deleting)
    reported = progressing(made)
    assert (reported["status"], reported["reason"]) == ("False", "NodeLost")
    assert what in reported["message"]
    assert remedy in reported["message"]
    assert events(made)[-1] == ("NodeLost", reported["message"])


@pytest.mark.parametrize("deleting", [False, True], ids=["copies", "is cancelled"])
@pytest.mark.parametrize(("nodes", "state", "what", "remedy"), LOST)
def test_it_does_not_end_by_itself(nodes: Sequence[Json], state: Json, what: str, remedy: str, deleting: bool) -> None:
    """The guest may live on either side."""
    made = plan(nodes, state=state, deleting=deleting)
    assert status(made).get("phase") is None
    assert outcome.migration_state(made) == {}
    assert not [name for name in names(made) if name.startswith("Delete")]


@pytest.mark.parametrize(
    ("nodes", "state"),
    [
        pytest.param(BOTH, STARTED, id="both are ready"),
        pytest.param(None, STARTED, id="nodes cannot be read"),
        pytest.param([], STARTED, id="no node is known"),
        pytest.param([*BOTH, node("node03", ready=False)], STARTED, id="another node is not ready"),
        pytest.param([node(TARGET_NODE)], ARRIVED, id="the guest has left the node that is gone"),
    ],
)
@pytest.mark.parametrize("deleting", [False, True], ids=["copies", "is cancelled"])
def test_nothing_is_said_of_nodes_that_do_not_matter(nodes: Sequence[Json] | None, state: Json, deleting: bool) -> None:
    reported = progressing(plan(nodes, state=state, deleting=deleting))
    assert reported["status"] == "True"
    assert reported["reason"] in ("Copying", "FinishingMigration", "Canceling")


@pytest.mark.parametrize("phase", ["PreparingTarget", "TargetReady"])
def test_before_the_copy_it_is_given_up_as_without_an_answer(phase: str) -> None:
    times = [{"phase": phase, "phaseTransitionTimestamp": "2026-01-02T03:04:05Z"}]
    raw = migration(phase, status={"phaseTransitionTimestamps": times})
    answered: Json = {} if phase == "PreparingTarget" else {"targetNodeAddress": "10.0.0.2"}
    state = migration_state(**answered)
    nodes = [node(NODE), node(TARGET_NODE, ready=False)]
    made = plan_migration(migration_view(raw, vmi(moving=state), pod(), target_pod(), nodes=nodes), now=later(1))
    assert progressing(made)["reason"] == "NodeLost"
    assert progressing(made)["message"].endswith("; given up at 2026-01-02T03:09:05Z")


def test_a_node_that_is_back_is_reported_at_once() -> None:
    lost = progressing(plan([node(NODE, ready=False), node(TARGET_NODE)]))
    raw = migration("Running", status={"conditions": [lost]})
    view = migration_view(raw, vmi(moving=migration_state(**STARTED)), pod(), target_pod(), nodes=BOTH)
    assert progressing(plan_migration(view, now=later(10**5)))["reason"] == "Copying"


def test_a_pod_that_is_gone_is_not_asked_to_be_deleted() -> None:
    reported = progressing(plan([node(TARGET_NODE)], pods=[target_pod()]))
    assert "kubectl" not in reported["message"]
    assert "Its pod is gone: the VM ends within two minutes" in reported["message"]


@pytest.mark.parametrize("name", [NODE, TARGET_NODE])
def test_a_copy_of_a_failed_one_is_not_given_up_while_a_node_is_away(name: str) -> None:
    """Two leaders: one has handed off what the other has failed. Its target may have the guest."""
    away = [node(item, ready=item != name) for item in (NODE, TARGET_NODE)]
    raw = migration("Failed", status=failed_at("2026-01-02T03:04:00Z"))
    state = migration_state(**STARTED, abortRequested=True)
    waits = plan_migration(migration_view(raw, vmi(moving=state), pod(), target_pod(), nodes=away), now=later(10**5))
    assert outcome.migration_state(waits) == {}
    assert not {"Delete Pod", "PatchFinalizers VirtualMachineInstanceMigration"} & set(names(waits))
    assert waits.again_at == later(10**5 + 120)
    back = plan_migration(migration_view(raw, vmi(moving=state), pod(), target_pod(), nodes=BOTH), now=later(10**5))
    assert outcome.migration_state(back)["failed"] is True
    forced = plan_migration(migration_view(raw, vmi(moving=state), pod(), nodes=away), now=later(10**5))
    assert outcome.migration_state(forced)["failed"] is True


def failed_at(moment: str) -> Json:
    """Members of the status of a migration that has ended then."""
    return {"phaseTransitionTimestamps": [{"phase": "Failed", "phaseTransitionTimestamp": moment}]}


@pytest.mark.parametrize("deleting", [False, True], ids=["failed", "cancelled"])
def test_a_failed_one_whose_guest_had_arrived_on_a_node_that_is_lost_is_released(deleting: bool) -> None:
    """Its target pod is known to be gone, so nobody can come any more: the slot must not be taken for ever."""
    state = migration_state(**ARRIVED)
    raw = migration("Failed", deleting=deleting)
    made = plan_migration(migration_view(raw, vmi(moving=state), pod()), now=later(0))
    assert outcome.migration_state(made)["failed"] is True
    after = vmi(moving=outcome.migration_state(made))
    made = plan_migration(migration_view(raw, after, pod()), now=later(1))
    assert names(made)[-1] == "PatchFinalizers VirtualMachineInstanceMigration"
