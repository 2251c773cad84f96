"""Which guests have a disruption budget, and how many of their pods it protects."""

from dataclasses import replace
from typing import Any

import pytest
from tests.build import (
    MIGRATION_UID,
    NOW,
    VMI_UID,
    Json,
    a_config,
    a_vmi,
    kubevirt,
    migration,
    migration_view,
    pod,
    vmi,
)

from nicplug.model.eviction import DisruptionBudget, budget_key, parse_budget
from nicplug.model.frozen_json import thaw
from nicplug.plan.actions import Action, Create, Delete, Kind, PatchBudget
from nicplug.plan.migration.plan_migration import plan_migration
from nicplug.plan.views import BudgetView, MigrationView, Refusal
from nicplug.plan.vmi.disruption_budget import plan_budget

SELECTOR = {"matchLabels": {"kubevirt.io/created-by": VMI_UID}}
MIGRATABLE = {"type": "LiveMigratable", "status": "True"}
NOT_MIGRATABLE = {"type": "LiveMigratable", "status": "False"}
JOB = "kubevirt.io/migrationJobUID"
CREATED, DELETED, KEPT = "created", "deleted", "kept"


def a_guest(strategy: str | None = "LiveMigrate", *conditions: Json, **members: Any) -> Json:
    raw = vmi(conditions=list(conditions), **members)
    if strategy is not None:
        raw["spec"]["evictionStrategy"] = strategy
    return raw


def budget(min_available: int = 1, *, job: str | None = None, **members: Any) -> DisruptionBudget:
    key = budget_key(a_vmi(vmi()).key, uid=VMI_UID)
    owner = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachineInstance", "name": a_vmi(vmi()).key.name}
    labels = {"app.kubernetes.io/managed-by": "nicplug", **({JOB: job} if job else {})}
    raw = {
        "metadata": {
            "name": key.name,
            "namespace": key.namespace,
            "uid": "budget-uid",
            "generation": 3,
            "resourceVersion": "40",
            "labels": labels,
            "ownerReferences": [{**owner, "uid": VMI_UID, "controller": True}],
        },
        "spec": {"minAvailable": min_available, "selector": SELECTOR},
    }
    found = parse_budget({**raw, **members})
    assert found is not None
    return found


def view(raw: Json, present: DisruptionBudget | None = None, **more: Any) -> BudgetView:
    return BudgetView(**{"vmi": a_vmi(raw), "config": a_config(kubevirt()), "budget": present, **more})


def cluster_wide(strategy: str) -> Any:
    raw = kubevirt()
    raw["spec"]["configuration"]["evictionStrategy"] = strategy
    return a_config(raw)


def decided(of: BudgetView) -> tuple[Action, ...]:
    return plan_budget(of, now=NOW).actions


def outcome(of: BudgetView) -> str:
    match decided(of):
        case (Create(kind=Kind.BUDGET),):
            return CREATED
        case (Delete(kind=Kind.BUDGET),):
            return DELETED
        case ():
            return KEPT
        case other:
            raise AssertionError(other)


@pytest.mark.parametrize(
    ("raw", "config", "without", "with_one"),
    [
        pytest.param(a_guest("LiveMigrate"), "None", CREATED, KEPT, id="LiveMigrate, before anybody knows"),
        pytest.param(a_guest("LiveMigrate", NOT_MIGRATABLE), "None", CREATED, KEPT, id="LiveMigrate, not migratable"),
        pytest.param(a_guest("External", NOT_MIGRATABLE), "None", CREATED, KEPT, id="External"),
        pytest.param(a_guest("LiveMigrateIfPossible", MIGRATABLE), "None", CREATED, KEPT, id="if possible, it is"),
        pytest.param(a_guest("LiveMigrateIfPossible", NOT_MIGRATABLE), "None", KEPT, DELETED, id="if possible, no"),
        pytest.param(a_guest("LiveMigrateIfPossible"), "LiveMigrate", KEPT, DELETED, id="if possible, not known yet"),
        pytest.param(a_guest("None", MIGRATABLE), "LiveMigrate", KEPT, DELETED, id="its own None, not the cluster's"),
        pytest.param(a_guest(None, MIGRATABLE), "LiveMigrate", CREATED, KEPT, id="the cluster's default"),
        pytest.param(a_guest(None, MIGRATABLE), "None", KEPT, DELETED, id="no strategy"),
        pytest.param(a_guest("livemigrate", MIGRATABLE), "None", KEPT, DELETED, id="a value that does not exist"),
        pytest.param(a_guest("LiveMigrate", phase="Failed"), "None", KEPT, DELETED, id="a guest that has ended"),
        pytest.param(a_guest("LiveMigrate", deleting=True), "None", KEPT, KEPT, id="one that goes takes it along"),
    ],
)
def test_who_has_one(raw: Json, config: str, without: str, with_one: str) -> None:
    at_rest = {"config": cluster_wide(config)}
    assert outcome(view(raw, **at_rest)) == without
    assert outcome(view(raw, budget(), **at_rest)) == with_one


def test_without_a_kubevirt_cr_the_default_is_not_known_and_nothing_changes() -> None:
    raw = a_guest(None, MIGRATABLE)
    assert outcome(view(raw, config=None)) == KEPT
    assert outcome(view(raw, budget(), config=None)) == KEPT
    assert outcome(view(a_guest("LiveMigrate"), config=None)) == CREATED


def test_what_is_made() -> None:
    (made,) = decided(view(a_guest()))
    assert isinstance(made, Create)
    assert made.owner_uid == VMI_UID
    body = thaw(made.body)
    assert body["spec"] == {"minAvailable": 1, "selector": SELECTOR}
    assert body["metadata"]["labels"] == {"app.kubernetes.io/managed-by": "nicplug"}
    (owner,) = body["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"], owner["controller"]) == ("VirtualMachineInstance", VMI_UID, True)
    assert parse_budget(body | {"metadata": {**body["metadata"], "uid": "u"}}) is not None


def test_one_that_is_made_late_protects_both_pods() -> None:
    (made,) = decided(view(a_guest(), is_moving=True, may_move=True, migration_uid=MIGRATION_UID))
    assert isinstance(made, Create)
    body = thaw(made.body)
    assert (body["spec"]["minAvailable"], body["metadata"]["labels"][JOB]) == (2, MIGRATION_UID)


RAISED = (2, MIGRATION_UID)
LOWERED = (1, None)


@pytest.mark.parametrize(
    ("present", "state", "wanted"),
    [
        pytest.param(budget(), {}, None, id="at rest"),
        pytest.param(budget(), {"may_move": True}, None, id="a migration waits"),
        pytest.param(budget(), {"is_moving": True, "migration_uid": MIGRATION_UID}, RAISED, id="not raised in time"),
        pytest.param(budget(2, job=MIGRATION_UID), {"is_moving": True, "migration_uid": MIGRATION_UID}, None, id="up"),
        pytest.param(budget(2, job=MIGRATION_UID), {"is_moving": True}, None, id="two pods, of whichever migration"),
        pytest.param(budget(2, job=MIGRATION_UID), {"may_move": True}, None, id="raised, and the pod is yet to come"),
        pytest.param(budget(2, job=MIGRATION_UID), {}, LOWERED, id="one pod is left"),
        pytest.param(budget(1, job=MIGRATION_UID), {}, LOWERED, id="only the label is left"),
        pytest.param(budget(0), {}, LOWERED, id="somebody has lowered it"),
        pytest.param(budget(0), {"may_move": True}, LOWERED, id="somebody has lowered it while a migration waits"),
    ],
)
def test_how_many_pods_it_protects(
    present: DisruptionBudget, state: dict[str, Any], wanted: tuple[int, str | None] | None
) -> None:
    patches = decided(view(a_guest(), present, **state))
    changes = [(item.min_available, item.migration_uid) for item in patches if isinstance(item, PatchBudget)]
    assert changes == ([wanted] if wanted else [])


def test_a_budget_is_not_taken_away_under_a_guest_that_moves() -> None:
    unwanted = a_guest("LiveMigrateIfPossible", NOT_MIGRATABLE)
    assert outcome(view(unwanted, budget(2), is_moving=True, may_move=True)) == KEPT
    assert outcome(view(unwanted, budget(2))) == DELETED


def test_another_selector_is_put_right() -> None:
    foreign = budget(spec={"maxUnavailable": 1, "selector": {}})
    (patch,) = decided(view(a_guest(), foreign))
    assert isinstance(patch, PatchBudget)
    assert patch.json_patch()[-1] == {
        "op": "add",
        "path": "/spec",
        "value": {"minAvailable": 1, "selector": SELECTOR},
    }


def test_a_label_that_was_taken_away_is_put_back() -> None:
    out_of_sight = replace(budget(), is_labelled=False, has_labels=False)
    (patch,) = decided(view(a_guest(), out_of_sight))
    assert isinstance(patch, PatchBudget)
    label = {"app.kubernetes.io/managed-by": "nicplug"}
    assert {"op": "add", "path": "/metadata/labels", "value": label} in patch.json_patch()


def test_a_change_is_guarded_by_the_generation_and_the_migration_that_it_was_raised_for() -> None:
    (patch,) = decided(view(a_guest(), budget(2, job="an-earlier-one")))
    assert isinstance(patch, PatchBudget)
    tests = {item["path"]: item["value"] for item in patch.json_patch() if item["op"] == "test"}
    assert tests == {
        "/metadata/uid": "budget-uid",
        "/metadata/generation": 3,
        "/metadata/labels/kubevirt.io~1migrationJobUID": "an-earlier-one",
    }


@pytest.mark.parametrize(
    "more",
    [
        pytest.param({"is_readable": False}, id="budgets cannot be read"),
        pytest.param({"refusal": Refusal(reason="FailedCreate", message="quota")}, id="it was refused"),
        pytest.param({"budget": replace(budget(), deleting=True)}, id="the last one is still on its way out"),
    ],
)
def test_nothing_is_sent(more: dict[str, Any]) -> None:
    assert decided(view(a_guest(), **more)) == ()


def target_plan(present: DisruptionBudget | None) -> list[Action]:
    raw = migration(phase="Pending")
    of: MigrationView = migration_view(raw, a_guest("LiveMigrate", MIGRATABLE), pod(), budget=present)
    return [item for item in plan_migration(of, now=NOW).actions if isinstance(item, (PatchBudget, Create))]


def test_it_is_raised_before_the_target_pod_is_made() -> None:
    raised, created = target_plan(budget())
    assert isinstance(raised, PatchBudget)
    assert (raised.min_available, raised.migration_uid) == RAISED
    assert isinstance(created, Create)
    assert created.kind is Kind.POD


def test_one_that_an_earlier_migration_has_raised_is_raised_for_this_one() -> None:
    """Or a leader that has only heard of the end of that one could lower it under this one."""
    raised, _ = target_plan(budget(2, job="an-earlier-one"))
    assert isinstance(raised, PatchBudget)
    assert (raised.min_available, raised.migration_uid) == RAISED


@pytest.mark.parametrize(
    "present",
    [
        pytest.param(None, id="there is none"),
        pytest.param(budget(2, job=MIGRATION_UID), id="it is raised already"),
        pytest.param(replace(budget(), owner_uid="an-earlier-vmi"), id="it is an earlier VMI's"),
    ],
)
def test_a_migration_goes_on_without_a_write(present: DisruptionBudget | None) -> None:
    (created,) = target_plan(present)
    assert isinstance(created, Create)
