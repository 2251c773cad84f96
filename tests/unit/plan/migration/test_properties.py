"""What holds for every world with migrations: one at a time, nothing twice, and order decides nothing."""

import copy
import json
from dataclasses import dataclass, field
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.build import (
    NODE,
    NOW,
    TARGET_NODE,
    Json,
    later,
    metadata,
    migration,
    migration_state,
    migration_view,
    pod,
    primary,
    target_pod,
    vmi,
)
from tests.fakes.patches import JSON_PATCH, patched

from nicplug.model.frozen_json import thaw
from nicplug.model.slot_ledger import MigrationSlot
from nicplug.plan.actions import (
    Action,
    Create,
    Delete,
    FindPod,
    HandOffStep,
    Kind,
    PatchMigrationState,
    PatchNetworksAnnotation,
)
from nicplug.plan.migration.plan_migration import plan_migration
from nicplug.plan.outcome import Plan
from nicplug.plan.views import MigrationView

UIDS = ("a", "b", "c")
PHASES = (
    "",
    "Pending",
    "Scheduling",
    "Scheduled",
    "PreparingTarget",
    "TargetReady",
    "Running",
    "Succeeded",
    "Failed",
)
STARTED: Json = {"targetNodeAddress": "10.0.0.2", "startTimestamp": "2026-01-02T03:04:00Z"}
ARRIVED: Json = {**STARTED, "targetNodeDomainReadyTimestamp": "2026-01-02T03:04:03Z"}
STAGES: tuple[Json, ...] = (
    {},
    {"targetNodeAddress": "10.0.0.2"},
    STARTED,
    {**STARTED, "abortRequested": True},
    ARRIVED,
    {**ARRIVED, "completed": True},
    {**STARTED, "completed": True, "failed": True, "failureReason": "no"},
    {"completed": True},
    {"targetPod": "another"},
)
CONDITIONS: tuple[list[Json], ...] = (
    [],
    [],
    [{"type": "LiveMigratable", "status": "False", "reason": "No", "message": "no"}],
    [{"type": "MigrationRequired", "status": "True"}],
)
# Of the steps that follow from one another without anything from outside.
_PASSES = 12


@dataclass
class World:
    """One VMI, its pods, its migrations: all raw."""

    vmi: Json | None
    pods: list[Json] = field(default_factory=list)
    migrations: dict[str, Json] = field(default_factory=dict)
    slot: MigrationSlot = field(default_factory=MigrationSlot)
    is_sure: bool = True
    """That a pod is not there is known, not only that it is out of sight."""

    def view(self, uid: str) -> MigrationView:
        """What the planner of one of them sees."""
        others = [item for other, item in self.migrations.items() if other != uid]
        return migration_view(
            self.migrations[uid],
            self.vmi,
            *self.pods,
            others=others,
            slot=self.slot,
            gone=self.is_sure,
            report_pending_since=later(-60),
        )

    def plan(self, uid: str) -> Plan:
        """What it decides."""
        return plan_migration(self.view(uid), now=NOW)


_rarely = st.sampled_from([False, False, True])
_mostly = st.sampled_from([True, True, True, False])


def _job(uid: str, phase: str, *, deleting: bool = False, created: int = 1) -> Json:
    at = f"2026-01-02T03:04:0{created}Z"
    return migration(phase, name=f"job-{uid}", uid=uid, deleting=deleting, creationTimestamp=at)


def _target(uid: str, **members: Any) -> Json:
    return target_pod(migration_uid=uid, uid=f"pod-{uid}", **members)


@st.composite
def wild_worlds(draw: st.DrawFn) -> World:
    """Any state that races, crashes and forgers can leave behind."""
    state = migration_state(migration_uid=draw(st.sampled_from(UIDS))) | draw(st.sampled_from(STAGES))
    body = vmi(
        primary(),
        phase=draw(st.sampled_from(["Running", "Running", "Running", "Scheduled", "Succeeded"])),
        node=draw(st.sampled_from([NODE, NODE, TARGET_NODE])),
        deleting=draw(_rarely),
        moving=draw(st.sampled_from([None, state, state])),
        conditions=draw(st.sampled_from(CONDITIONS)),
    )
    source = pod(phase=draw(st.sampled_from(["Running", "Running", "Running", "Succeeded"])), deleting=draw(_rarely))
    targets = [
        _target(
            uid,
            phase=draw(st.sampled_from(["Running", "Running", "Pending", "Failed"])),
            ready=draw(st.booleans()),
            deleting=draw(_rarely),
            node=draw(st.sampled_from([TARGET_NODE, TARGET_NODE, NODE, "node03"])),
        )
        for uid in UIDS
        if draw(_rarely)
    ]
    names = draw(st.sampled_from([UIDS, UIDS[:1], UIDS[:2]]))
    jobs = {
        uid: _job(uid, draw(st.sampled_from(PHASES)), deleting=draw(_rarely), created=draw(st.sampled_from([1, 2])))
        for uid in names
    }
    is_there = draw(_mostly)
    return World(
        vmi=body if is_there else None,
        pods=[*([source] if draw(_mostly) else []), *targets] if is_there else [],
        migrations=jobs,
        slot=MigrationSlot(
            is_granted=draw(st.booleans()), inbound_node=draw(st.sampled_from(["", TARGET_NODE, "node03"]))
        ),
        is_sure=draw(_mostly),
    )


@st.composite
def calm_worlds(draw: st.DrawFn) -> World:
    """A VM that could move at once, and several migrations that want to move it."""
    phases = st.sampled_from(["", "Pending", "Pending", "Scheduling", "Scheduled"])
    jobs = {uid: _job(uid, draw(phases), created=draw(st.sampled_from([1, 2]))) for uid in UIDS}
    targets = [_target(uid, ready=draw(_mostly)) for uid in draw(st.sampled_from(["", "", "a", "b"]))]
    slot = MigrationSlot(is_granted=True, inbound_node=TARGET_NODE)
    return World(vmi=vmi(primary()), pods=[pod(), *targets], migrations=jobs, slot=slot)


@st.composite
def worlds_after_the_move(draw: st.DrawFn) -> World:
    """The guest is on the target's node, whatever is said of the migration."""
    state = migration_state(migration_uid="a") | draw(st.sampled_from(STAGES))
    source = pod(phase=draw(st.sampled_from(["Running", "Succeeded"])))
    return World(
        vmi=vmi(primary(), node=TARGET_NODE, moving=draw(st.sampled_from([None, state, state]))),
        pods=[*([source] if draw(st.booleans()) else []), _target("a")],
        migrations={"a": _job("a", draw(st.sampled_from(PHASES[4:])), deleting=draw(_rarely))},
    )


worlds = st.one_of(wild_worlds(), calm_worlds(), worlds_after_the_move())


def _carried_out(world: World, plan: Plan) -> World:
    after = copy.deepcopy(world)
    for action in plan.actions:
        _carry_out(after, action)
    return after


def _carry_out(world: World, action: Action) -> None:
    """As the API server would; the answer to who looks for a pod is that there is none."""
    if isinstance(action, FindPod):
        world.is_sure = True
    elif isinstance(action, Create):
        body = thaw(action.body)
        born = metadata(action.key.name, uid=f"new-{action.key.name}") | body["metadata"]
        world.pods.append({**body, "metadata": born, "status": {"phase": "Pending"}})
    elif isinstance(action, Delete):
        bodies = world.pods if action.kind is Kind.POD else [*world.migrations.values()]
        found = next(body for body in bodies if body["metadata"]["uid"] == action.uid)
        found["metadata"]["deletionTimestamp"] = "2026-01-02T03:04:05Z"
    else:
        _patch(world, action)


def _patch(world: World, action: Any) -> None:
    content = json.dumps([dict(operation) for operation in action.json_patch()]).encode()
    bodies = [*([world.vmi] if world.vmi else []), *world.pods, *world.migrations.values()]
    old = next(body for body in bodies if body["metadata"]["name"] == action.key.name and _kind(body) == action.kind)
    new = patched(copy.deepcopy(old), content_type=JSON_PATCH, content=content)
    old.clear()
    old.update(new)


def _kind(body: Json) -> Kind:
    kinds = {
        "Pod": Kind.POD,
        "VirtualMachineInstance": Kind.VMI,
        "VirtualMachineInstanceMigration": Kind.MIGRATION,
    }
    return kinds[body["kind"]]


def _begins(plan: Plan) -> bool:
    """It makes a target pod, or hands off."""
    return any(
        (isinstance(action, Create) and action.kind is Kind.POD)
        or (isinstance(action, PatchMigrationState) and action.step is HandOffStep.HAND_OFF)
        for action in plan.actions
    )


@given(world=worlds)
def test_what_is_left_alone_comes_to_rest(world: World) -> None:
    """Each pass brings it on; then there is nothing left to do until somebody else does something."""
    for uid in world.migrations:
        after = world
        for _ in range(_PASSES):
            after = _carried_out(after, after.plan(uid))
        assert after.plan(uid).actions == ()


@given(world=worlds)
def test_a_plan_that_was_carried_out_is_not_wanted_again(world: World) -> None:
    for uid in world.migrations:
        plan = world.plan(uid)
        again = _carried_out(world, plan).plan(uid)
        assert not plan.actions or again.actions != plan.actions


@given(world=worlds)
def test_of_the_migrations_of_a_vmi_one_at_most_begins_anything(world: World) -> None:
    """Although each has a slot: whoever looks at the same world lets the same one go."""
    beginning = [uid for uid in world.migrations if _begins(world.plan(uid))]
    assert len(beginning) <= 1


@given(world=worlds, seed=st.randoms(use_true_random=False))
def test_the_order_in_which_things_were_heard_of_decides_nothing(world: World, seed: Any) -> None:
    shuffled = copy.deepcopy(world)
    seed.shuffle(shuffled.pods)
    items = list(shuffled.migrations.items())
    seed.shuffle(items)
    shuffled.migrations = dict(items)
    for uid in world.migrations:
        assert world.plan(uid) == shuffled.plan(uid)


@given(world=worlds)
def test_the_only_pod_on_the_vmi_s_node_is_not_touched(world: World) -> None:
    """Whatever a migration's status says: the guest is there."""
    node = (world.vmi or {}).get("status", {}).get("nodeName")
    there = [item["metadata"]["uid"] for item in world.pods if item["spec"].get("nodeName") == node]
    for uid in world.migrations:
        actions = world.plan(uid).actions
        assert not any(isinstance(action, PatchNetworksAnnotation) for action in actions)
        deleted = {action.uid for action in actions if isinstance(action, Delete)}
        is_final = world.vmi is None or world.vmi["status"]["phase"] in ("Succeeded", "Failed")
        if len(there) == 1 and not is_final:
            (target,) = there
            may_go = target.startswith("pod-") and _is_down(world, target)
            assert may_go or not deleted & set(there)


def _is_down(world: World, uid: str) -> bool:
    found = next(item for item in world.pods if item["metadata"]["uid"] == uid)
    return bool(found["status"]["phase"] == "Failed")
