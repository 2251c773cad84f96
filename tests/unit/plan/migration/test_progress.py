"""What a migration tells a person, in every phase: one condition with a reason and a sentence."""

from dataclasses import replace

import pytest
from tests.build import (
    NODE,
    NOW,
    TARGET_NODE,
    VMI_UID,
    Json,
    later,
    migration,
    migration_view,
    node,
    pod,
    target_pod,
    vmi,
)
from tests.unit.plan.migration.outcome import events, names, progressing
from tests.unit.plan.migration.waits import ENDINGS, QUEUED, WAITS, Case, pending

from nicplug.model.frozen_json import freeze
from nicplug.plan.migration.plan_migration import plan_migration
from nicplug.plan.reasons import Reason


@pytest.mark.parametrize("case", WAITS)
def test_what_it_waits_for(case: Case) -> None:
    view = replace(case.view, report_pending_since=later(-9))
    now = later(-4) if case.reason is Reason.MIGRATION_BACKOFF else NOW
    written = progressing(plan_migration(view, now=now))
    assert written["reason"] == case.reason
    assert case.message in written["message"]
    assert written["status"] == ("False" if case.stuck else "True")
    assert written["observedGeneration"] == 1


@pytest.mark.parametrize("case", WAITS)
def test_it_is_written_once(case: Case) -> None:
    """A message that changed with the clock would be written at every look."""
    view = replace(case.view, report_pending_since=later(-9))
    now = later(-4) if case.reason is Reason.MIGRATION_BACKOFF else NOW
    condition = progressing(plan_migration(view, now=now))
    status = {**view.migration.status.members, "conditions": [condition]}
    if view.migration.deleting:
        status["conditions"].append({"type": "migrationAbortRequested", "status": "True"})
    if case.reason is Reason.REJECTED_BY_QUOTA:
        status["conditions"].append({"type": "migrationRejectedByResourceQuota", "status": "True"})
    again = replace(view, migration=replace(view.migration, status_text=freeze(status)))
    for seconds in (0.4, 3, 11):
        plan = plan_migration(again, now=now if case.reason is Reason.MIGRATION_BACKOFF else later(seconds))
        assert not [name for name in names(plan) if "PatchStatus" in name]


@pytest.mark.parametrize(("meta", "of", "reason", "text"), ENDINGS)
def test_what_the_webhook_would_refuse(meta: Json, of: Json | None, reason: str, text: str) -> None:
    view = migration_view(migration("", **meta), of, pod(), report_pending_since=later(-2))
    plan = plan_migration(view, now=NOW)
    assert (progressing(plan)["reason"], progressing(plan)["message"]) == (reason, text)
    assert events(plan) == [("FailedMigration", text)]
    # No finalizer is added: it can be deleted at once.
    assert names(plan) == ["PatchStatus VirtualMachineInstanceMigration"]


def test_a_vmi_that_was_created_together_with_it_is_waited_for() -> None:
    plan = plan_migration(migration_view(migration(""), None), now=NOW)
    assert plan.is_empty
    assert plan.withholds_report
    assert plan.again_at == later(2)


@pytest.mark.parametrize("condition", [None, {"type": "LiveMigratable", "status": "Unknown"}])
def test_no_word_on_live_migration_is_no_word_against_it(condition: Json | None) -> None:
    of = vmi(conditions=[condition] if condition else [])
    plan = plan_migration(migration_view(migration(""), of, pod()), now=NOW)
    assert progressing(plan)["reason"] == "CreatingTargetPod"


def test_events_of_waiting_are_reported_once() -> None:
    first = plan_migration(pending(phase="", nodes=[node(NODE)]), now=NOW)
    assert events(first) == [("NoCandidateNode", progressing(first)["message"])]
    reported = migration("Pending", status={"conditions": [progressing(first)]})
    second = plan_migration(migration_view(reported, vmi(), pod(), nodes=[node(NODE)]), now=later(1))
    assert (second.actions, second.announcements) == ((), ())
    assert second.again_at == later(300).replace(microsecond=0)


WAITED_FOR = {"type": "Progressing", "status": "True", "reason": "WaitingForSlot", "message": "4th in the queue"}


@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(migration(""), id="asked for just now"),
        pytest.param(migration("Pending"), id="accepted by an operator that said nothing yet"),
        pytest.param(migration("Pending", status={"conditions": [WAITED_FOR]}), id="the last node goes while it waits"),
    ],
)
def test_that_no_node_can_take_the_vm_is_said_by_the_first_plan_that_sees_it(raw: Json) -> None:
    """Promised within two seconds: it waits for no timer and for no company."""
    first = plan_migration(migration_view(raw, vmi(), pod(), nodes=[node(NODE)], report_pending_since=None), now=NOW)
    assert (progressing(first)["status"], progressing(first)["reason"]) == ("False", "NoCandidateNode")
    assert progressing(first)["message"].startswith("0 of 1 node can take the VM: node01 runs it")
    assert events(first) == [("NoCandidateNode", progressing(first)["message"])]
    assert not first.withholds_report


def test_no_candidate_for_five_minutes_is_a_failure() -> None:
    condition = {
        "type": "Progressing", "status": "False", "reason": "NoCandidateNode", "message": "x",
        "lastTransitionTime": later(-300).strftime("%Y-%m-%dT%H:%M:%SZ"),
    }  # fmt: skip
    reported = migration("Pending", status={"conditions": [condition]})
    plan = plan_migration(migration_view(reported, vmi(), pod(), nodes=[node(NODE)]), now=NOW)
    assert progressing(plan)["reason"] == "NoCandidateNode"
    assert events(plan) == [
        (
            "FailedMigration",
            "Migration failed because it could not begin: 0 of 1 node can take the VM: node01 runs it",
        )
    ]


def test_a_node_that_comes_ends_the_waiting() -> None:
    condition = {"type": "Progressing", "status": "False", "reason": "NoCandidateNode", "message": "x"}
    reported = migration("Pending", status={"conditions": [condition]})
    plan = plan_migration(migration_view(reported, vmi(), pod(), nodes=[node(NODE), node(TARGET_NODE)]), now=NOW)
    assert names(plan)[0] == "Create Pod"


@pytest.mark.parametrize(
    ("reported", "is_written"), [(Reason.CREATING_TARGET_POD, True), (Reason.WAITING_FOR_SLOT, False)]
)
def test_a_first_place_in_the_queue_is_reported_soon_and_a_new_one_later(reported: Reason, is_written: bool) -> None:
    """A place changes often; whoever knows none at all has just asked. Whatever the words were."""
    row = {
        "type": "Progressing",
        "status": "True",
        "reason": str(reported),
        "message": "x",
        "lastTransitionTime": "2026-01-02T03:04:05Z",
    }
    raw = migration("Pending", status={"conditions": [row], "vmiUid": VMI_UID})
    view = migration_view(raw, vmi(), pod(), slot=QUEUED, report_pending_since=later(-1))
    assert (progressing(plan_migration(view, now=NOW)) != {}) is is_written


def test_a_new_place_in_the_queue_is_reported_two_seconds_after_it_was_seen() -> None:
    row = {
        "type": "Progressing",
        "status": "True",
        "reason": "WaitingForSlot",
        "message": "4th in line: 5 of 5 migrations are under way",
        "lastTransitionTime": "2026-01-02T03:04:05Z",
    }
    raw = migration("Pending", status={"conditions": [row], "vmiUid": VMI_UID})
    before = plan_migration(migration_view(raw, vmi(), pod(), slot=QUEUED, report_pending_since=later(-1)), now=NOW)
    assert before.again_at == later(1)
    after = plan_migration(migration_view(raw, vmi(), pod(), slot=QUEUED, report_pending_since=later(-2)), now=NOW)
    assert progressing(after)["message"] == QUEUED.message


@pytest.mark.parametrize(
    "other",
    [pod(node="node03"), pod(deleting=True), pod(phase="Failed", ready=False)],
    ids=["on another node than the VM", "is being deleted", "has ended"],
)
def test_a_pod_that_does_not_have_the_guest_is_no_source(other: Json) -> None:
    """The guest would be looked for in it."""
    plan = plan_migration(pending(None, other), now=NOW)
    assert progressing(plan)["reason"] == Reason.SEVERAL_LAUNCHER_PODS
    assert names(plan) == ["PatchStatus VirtualMachineInstanceMigration"]
    view = migration_view(migration("Scheduled"), vmi(), other, target_pod())
    plan = plan_migration(view, now=NOW)
    assert not [name for name in names(plan) if name.startswith("PatchMigrationState")]
