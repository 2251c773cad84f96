"""`nicplug plan` says what then happens: for every row of the tables of docs/which-path-and-why.md.

The plan is taken on the state in which the row decides, then the operator acts and the nodes follow; path, reason and
end are compared with what was said.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
import structlog
from tests.build import nic, primary
from tests.build import vm as a_vm
from tests.sim.cluster import DAEMON_SETS, VMIS, VMS, Json
from tests.sim.planning import Stage, devices_of, nic_of
from tests.sim.predictions import (
    ALL_RULES,
    NAME,
    NIC,
    Deed,
    Row,
    ask_and_change,
    breaks_red,
    broken_controllers,
    chained,
    cordon_others,
    fail_targets,
    gate_off,
    make_stage,
    move_to,
    mute_controllers,
    no_controllers,
    node_of,
    not_migratable,
    plug,
    plug_on,
    policy,
    set_link_down,
    staged,
    unplug_red,
    unready_controllers,
    wait,
    workload_updates,
)

from nicplug.insight.forecast import forecast
from nicplug.insight.outcome import NicForecast, Outcome
from nicplug.plan.nic.path.choice import deciding_rules
from nicplug.plan.nic.path.rules import Rule

ROWS = (
    Row(rule="only the link is to be set up or down", nic="red", edit=set_link_down, born_with=("red",)),
    Row(
        rule="it was rolled back before, `onFailure` is still `Rollback`, and its owner has not changed the NIC since",
        before=chained(policy(onFailure="Rollback"), broken_controllers),
        # A VM's NIC leaves the instance: no path is chosen for it any more.
        owners=(VMIS,),
        otherwise="RolledBack",
    ),
    Row(
        rule="the guest has no PCI slot left",
        born_with=tuple(f"nic{number}" for number in range(8)),
    ),
    Row(rule="SR-IOV", edit=lambda body: plug(body, NIC, binding="sriov")),
    Row(
        rule="another network for a NIC that the guest has",
        nic="red",
        born_with=("red",),
        edit=lambda body: move_to(body, "red", "green-net"),
    ),
    Row(rule="`dynamicPath: Never`", before=policy(dynamicPath="Never")),
    Row(
        rule="the controller stopped being ready, or left a node that its DaemonSet selects, less than 5 s ago",
        before=unready_controllers,
        otherwise="DynamicControllerNotReady",
        is_unanswered=True,
    ),
    Row(
        rule="no controller in the cluster or on the VM's node, `dynamicPath: Always`",
        before=chained(policy(dynamicPath="Always"), no_controllers, wait(10)),
    ),
    Row(
        rule="no controller in the cluster or on the VM's node",
        before=chained(no_controllers, wait(10)),
    ),
    Row(
        rule="two attempts that the controller reported failed, or `dynamicTimeout` is over; `onFailure: Rollback`, "
        "and it is not an unplug",
        before=chained(policy(onFailure="Rollback"), broken_controllers),
        otherwise="RolledBack",
    ),
    Row(
        rule="two attempts that the controller reported failed, `onFailure` not `Migrate` or `dynamicPath: Always`",
        before=chained(policy(onFailure="Hold"), broken_controllers),
        otherwise="DynamicTimeout",
    ),
    Row(
        rule="two attempts that the controller reported failed",
        before=broken_controllers,
        otherwise="DynamicTimeout",
    ),
    Row(
        rule="the controller is not ready, and nothing forbids to migrate on failure",
        before=chained(unready_controllers, wait(10)),
    ),
    Row(
        rule="`dynamicTimeout` is over, `onFailure` not `Migrate` or `dynamicPath: Always`",
        before=chained(policy(onFailure="Hold"), mute_controllers),
        otherwise="DynamicTimeout",
    ),
    Row(rule="`dynamicTimeout` is over", before=mute_controllers, otherwise="DynamicTimeout"),
    Row(
        rule="the controller is not ready, and has time until `dynamicTimeout` is over",
        before=chained(policy(onFailure="Hold"), unready_controllers, wait(10)),
        otherwise="DynamicTimeout",
        is_unanswered=True,
    ),
    Row(
        rule="the controller reported one failure",
        before=broken_controllers,
        otherwise="DynamicTimeout",
        is_unanswered=True,
    ),
    Row(
        rule="nobody knows whether a controller runs: rights or kinds are missing",
        blind=frozenset({DAEMON_SETS}),
    ),
    Row(rule="the controller is ready on the VM's node"),
    Row(rule="`migration: Never`", before=chained(policy(migration="Never"), no_controllers, wait(10))),
    Row(
        rule="`workloadUpdateMethods` is set and does not list `LiveMigrate`",
        before=chained(workload_updates(), no_controllers, wait(10)),
    ),
    Row(
        rule="another network, and the condition `LiveMigratable` is not True",
        nic="red",
        born_with=("red",),
        before=not_migratable,
        edit=lambda body: move_to(body, "red", "green-net"),
    ),
    Row(
        rule="the condition `LiveMigratable` is not True",
        before=chained(not_migratable, no_controllers, wait(10)),
    ),
    Row(
        rule="five migrations have failed, or the last one for a reason that a retry does not fix; "
        "`onFailure: Rollback`, and it is not an unplug",
        before=chained(policy(onFailure="Rollback"), no_controllers, wait(10)),
        spoil=fail_targets,
        is_unforeseeable=True,
        patience=20_000,
    ),
    Row(
        rule="five migrations have failed, or the last one for a reason that a retry does not fix",
        before=chained(no_controllers, wait(10)),
        spoil=fail_targets,
        is_unforeseeable=True,
        patience=20_000,
    ),
    Row(
        rule="the last migration failed of the network of another NIC that comes with every target pod, and that is "
        "as it was",
        born_with=("red",),
        before=chained(no_controllers, wait(10), breaks_red),
        is_unforeseeable=True,
        patience=20_000,
    ),
    Row(rule="no node can take the VM", before=chained(no_controllers, wait(10), cordon_others)),
    Row(
        rule="fewer than five migrations have failed",
        before=chained(no_controllers, wait(10)),
        spoil=fail_targets,
        patience=20_000,
    ),
)
"""The state of each row of the two tables."""


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """The log of the cluster is its own; the operator's would be the slowest part."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
    yield
    structlog.reset_defaults()


def test_every_row_of_the_tables_is_predicted() -> None:
    assert [rule.when for rule in ALL_RULES] == [row.rule for row in ROWS]


async def find_state(stage: Stage, row: Row) -> NicForecast:
    """Go on step by step until the rule decides; the forecast that the command would give then."""
    rule = next(item for item in ALL_RULES if item.when == row.rule)
    horizon = stage.cluster.now.timestamp() + row.patience
    while stage.cluster.now.timestamp() < horizon:
        if not stage.step():
            due = stage.operator.next_due()
            stage.cluster.pass_time(max(0.05, (due - stage.cluster.now).total_seconds()) if due is not None else 1.0)
        told = nic_of(await stage.plan(NAME), row.nic)
        if told is not None and decides(told, rule):
            return told
    raise AssertionError(f"the rule never decides: {row.rule}")


def decides(told: NicForecast, rule: Rule) -> bool:
    """It is the rule that the forecast stands on."""
    return told.evidence is not None and deciding_rules(told.evidence)[-1] is rule


@pytest.mark.parametrize(
    ("row", "plural"), [pytest.param(row, plural, id=f"{row}-{plural}") for row in ROWS for plural in row.owners]
)
async def test_the_plan_says_what_then_happens(row: Row, plural: str) -> None:
    stage = make_stage(row, plural=plural)
    row.before(stage)
    stage.spoil = row.spoil
    node = node_of(stage)
    first = told = await ask_and_change(stage, row, plural=plural)
    if not decides(told, next(item for item in ALL_RULES if item.when == row.rule)):
        begins_as_foretold(stage, row, told)
        told = await find_state(stage, row)
    stage.spoil = lambda _: None
    begins_as_foretold(stage, row, told)

    stage.settle(seconds=1200)
    ends_as_foretold(stage, row, told, since=node)
    if row.otherwise:
        assert first.otherwise is not None, f"the plan before the change says {first.outcome} alone"
        assert first.otherwise.reason == row.otherwise
        assert ended(stage, row) is first.otherwise.outcome
    elif row.is_unforeseeable:
        assert first.outcome is Outcome.BY_MIGRATION
        assert first.otherwise is None
    else:
        ends_as_foretold(stage, row, first, since=node)


def begins_as_foretold(stage: Stage, row: Row, told: NicForecast) -> None:
    """What the operator does next is what the plan says."""
    stage.let_operator_finish()
    record = stage.record(NAME, row.nic)
    assert record is not None, f"the plan says {told.outcome}, and there is no record"
    assert (record["path"], record["reason"]) == (told.path, told.reason)


def ends_as_foretold(stage: Stage, row: Row, told: NicForecast, *, since: str) -> None:
    """The guest, its node and the record are what the plan says, or its `otherwise` where the controller is silent.

    Args:
        since: the node that the guest was on when the plan was taken.
    """
    record = stage.record(NAME, row.nic)
    assert record is not None
    foretold = told.otherwise if row.is_unanswered else told
    assert foretold is not None, f"the plan says {told.outcome} alone"
    assert ended(stage, row) is foretold.outcome
    assert (node_of(stage) != since) is (foretold.outcome is Outcome.BY_MIGRATION)
    assert stage.has_nic(NAME, row.nic) is (foretold.outcome.arrives or row.nic in row.born_with)
    if foretold.outcome.arrives:
        assert record["reason"] == ("LinkSet" if told.operation == "SetLink" else "Attached")
    elif isinstance(foretold, NicForecast):
        assert (record["path"], record["phase"], record["reason"]) == (foretold.path, foretold.phase, foretold.reason)
    else:
        assert record["reason"] == foretold.reason


def ended(stage: Stage, row: Row) -> Outcome:
    """How the NIC is in the end, in the words of the forecast."""
    record = stage.record(NAME, row.nic)
    assert record is not None
    if record["phase"] == "Ready":
        return Outcome.BY_MIGRATION if record["path"] == "Migration" else Outcome.IN_PLACE
    if record["path"] == "Restart":
        return Outcome.NEEDS_RESTART
    return Outcome.STUCK


@dataclass(frozen=True, kw_only=True)
class Silence:
    """A controller that looks ready and never answers."""

    policy: str
    outcome: Outcome
    reason: str


@pytest.mark.parametrize(
    "silence",
    [
        Silence(policy="Migrate", outcome=Outcome.BY_MIGRATION, reason="DynamicTimeout"),
        Silence(policy="Hold", outcome=Outcome.STUCK, reason="DynamicTimeout"),
        Silence(policy="Rollback", outcome=Outcome.STUCK, reason="RolledBack"),
    ],
    ids=lambda silence: silence.policy,
)
async def test_the_plan_says_what_happens_otherwise(silence: Silence) -> None:
    stage = make_stage(Row(rule=""))
    policy(onFailure=silence.policy)(stage)
    mute_controllers(stage)
    changed = stage.change(VMIS, NAME, lambda body: plug(body, NIC))
    told = nic_of(await stage.plan(NAME, changed), NIC)
    assert told is not None
    assert told.outcome is Outcome.IN_PLACE
    assert told.otherwise is not None
    assert (told.otherwise.outcome, told.otherwise.reason) == (silence.outcome, silence.reason)

    stage.store(VMIS, NAME, changed)
    asked_at = stage.cluster.now
    stage.settle(seconds=told.otherwise.after.total_seconds() - 0.5)
    record = stage.record(NAME, NIC)
    assert record is not None
    assert record["reason"] == told.reason, "not before its time"
    stage.settle(seconds=1.5, roles=())
    record = stage.record(NAME, NIC)
    assert record is not None
    assert record["reason"] == told.otherwise.reason, f"asked at {asked_at}"


VM_NAME = "vm-a"


@dataclass(frozen=True, kw_only=True)
class Template:
    """A change of a VM's template.

    Attributes:
        nic: that is compared.
    """

    name: str
    edit: Callable[[Json], object] = lambda body: plug(body, NIC)
    before: Deed = lambda _: None
    nic: str = NIC
    outcome: Outcome
    reason: str

    def __str__(self) -> str:
        return self.name


TEMPLATES = (
    Template(name="plug", outcome=Outcome.IN_PLACE, reason="WaitingForPodInterface"),
    Template(name="unplug", edit=unplug_red, nic="red", outcome=Outcome.IN_PLACE, reason="WaitingForGuestRelease"),
    Template(name="gate off", before=gate_off, outcome=Outcome.STUCK, reason="FeatureGateDisabled"),
    Template(name="staged", before=staged, outcome=Outcome.NEEDS_RESTART, reason="RolloutStrategyStage"),
    Template(
        name="no such network",
        edit=plug_on("nowhere"),
        outcome=Outcome.STUCK,
        reason="NetworkAttachmentDefinitionMissing",
    ),
    Template(
        name="network of another namespace",
        edit=plug_on("ops/red-net"),
        outcome=Outcome.STUCK,
        reason="NetworkNotAllowed",
    ),
    Template(
        name="a binding that no running VM can follow",
        edit=lambda body: plug(body, NIC, binding="passtBinding"),
        outcome=Outcome.NEEDS_RESTART,
        reason="BindingNeedsRestart",
    ),
    Template(
        name="no controller",
        before=chained(no_controllers, wait(10)),
        outcome=Outcome.BY_MIGRATION,
        reason="NoDynamicController",
    ),
)


@pytest.mark.parametrize("case", TEMPLATES, ids=str)
async def test_the_plan_for_a_template_says_what_then_happens(case: Template) -> None:
    stage = make_stage(Row(rule=""))
    body = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine", "metadata": {"name": VM_NAME}}
    stage.cluster.create(VMS, {**body, "spec": a_vm(primary(), nic("red"))["spec"]}, by="user")
    stage.settle(seconds=5)
    assert stage.has_nic(VM_NAME, "red")
    case.before(stage)
    changed = stage.change(VMS, VM_NAME, case.edit)
    told = nic_of(await stage.plan(VM_NAME, changed), case.nic)
    assert told is not None
    assert (told.outcome, told.reason) == (case.outcome, case.reason)

    stage.store(VMS, VM_NAME, changed)
    stage.let_operator_finish()
    record = stage.record(VM_NAME, case.nic)
    assert record is not None
    assert (record["path"], record["reason"]) == (told.path, told.reason)
    stage.settle(seconds=1200)
    is_there = stage.has_nic(VM_NAME, case.nic)
    assert is_there == (told.outcome.arrives and told.operation == "Plug")
    record = stage.record(VM_NAME, case.nic)
    if told.operation == "Unplug":
        assert record is None
        return
    assert record is not None
    foretold = (told.path, "Ready", "Attached") if told.outcome.arrives else (told.path, told.phase, told.reason)
    assert (record["path"], record["phase"], record["reason"]) == foretold


def delete_blue(body: Json) -> None:
    for entries in devices_of(body):
        entries[:] = [item for item in entries if item["name"] != NIC]


def absent_blue(body: Json) -> None:
    next(item for item in devices_of(body)[0] if item["name"] == NIC)["state"] = "absent"


@pytest.mark.parametrize("edit", [absent_blue, delete_blue], ids=["absent", "deleted"])
async def test_a_nic_that_never_attached_leaves_template_and_instance_as_the_plan_says(
    edit: Callable[[Json], object],
) -> None:
    stage = make_stage(Row(rule=""))
    body = {"apiVersion": "kubevirt.io/v1", "kind": "VirtualMachine", "metadata": {"name": VM_NAME}}
    spec = a_vm(primary(), nic("red"))["spec"]
    stage.cluster.create(VMS, {**body, "spec": spec}, by="user")
    stage.settle(seconds=5)
    stage.store(VMS, VM_NAME, stage.change(VMS, VM_NAME, plug_on("nowhere")))
    stage.settle(seconds=5)
    record = stage.record(VM_NAME, NIC)
    assert record is not None
    assert record["phase"] == "Blocked"
    changed = stage.change(VMS, VM_NAME, edit)
    told = nic_of(await stage.plan(VM_NAME, changed), NIC)
    assert told is not None
    assert (told.operation, told.outcome) == ("Unplug", Outcome.WITHDRAWN)

    rows = stage.cluster.get(VMIS, VM_NAME)["status"]["interfaces"]  # type: ignore[index]
    stage.store(VMS, VM_NAME, changed)
    stage.settle(seconds=60)
    for plural in (VMS, VMIS):
        assert NIC not in {item["name"] for item in devices_of(stage.change(plural, VM_NAME, lambda _: None))[0]}
    assert stage.record(VM_NAME, NIC) is None
    assert stage.cluster.get(VMIS, VM_NAME)["status"]["interfaces"] == rows, "the guest is as it was"  # type: ignore[index]


async def test_a_plan_for_a_network_that_was_not_read_is_refused() -> None:
    """It would say that the network does not exist."""
    stage = make_stage(Row(rule=""))
    evidence = await stage.evidence(NAME)
    changed = stage.change(VMIS, NAME, lambda body: plug(body, NIC))
    with pytest.raises(ValueError, match="the evidence was read without default/blue-net"):
        forecast(evidence, changed=changed, now=stage.cluster.now)
