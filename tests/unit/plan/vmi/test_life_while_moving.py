"""The life of a VMI while and after it is migrated: which pod has the guest, and whose end is the guest's."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.build import (
    MIGRATION_UID,
    NODE,
    NOW,
    POD_NAME,
    POD_UID,
    TARGET_NODE,
    TARGET_POD_UID,
    VMI_UID,
    Json,
    absent,
    element,
    later,
    migration,
    migration_state,
    nic,
    pod,
    primary,
    primary_row,
    row,
    target_pod,
    vmi,
    vmi_view,
)
from tests.unit.plan.outcome import status_of

from nicplug.model.frozen_json import thaw
from nicplug.plan.actions import (
    ConfirmPod,
    Delete,
    PatchInterfaces,
    PatchLabels,
    PatchMigrationState,
    PatchPodCondition,
    PatchStatus,
)
from nicplug.plan.outcome import Plan
from nicplug.plan.vmi.active_pod import active_pod
from nicplug.plan.vmi.plan_vmi import plan_vmi

SECOND_UID = "66666666-dddd-4000-8000-000000000006"
TARGET_NAME = target_pod()["metadata"]["name"]
READY_AT: Json = {"targetNodeDomainReadyTimestamp": "2026-01-02T03:03:00Z"}
ENDED_AT: Json = {**READY_AT, "endTimestamp": "2026-01-02T03:03:01Z"}
COMPLETED: Json = {**ENDED_AT, "completed": True}
FAILED: Json = {"failed": True, "completed": True, "endTimestamp": "2026-01-02T03:03:01Z"}
RUNNING = (migration("Running"),)


def _second(**members: Any) -> Json:
    """The target of the next migration, back to the first node."""
    return target_pod(migration_uid=SECOND_UID, node=NODE, uid="third", **members)


def _second_state(**members: Any) -> Json:
    return migration_state(migration_uid=SECOND_UID, source=target_pod(), target=_second(), **members)


@dataclass(frozen=True, kw_only=True)
class Case:
    name: str
    pods: tuple[Json, ...]
    active: str | None
    state: Json | None = None
    node: str = NODE
    migrations: tuple[Json, ...] = RUNNING
    podless: bool = False
    asks_for: str | None = None

    def __str__(self) -> str:
        return self.name


BOTH = (pod(), target_pod())
CASES = [
    Case(name="target made: the source", pods=BOTH, active=POD_UID),
    Case(name="handed off: the source", pods=BOTH, state=migration_state(), active=POD_UID),
    Case(name="arrived, its node unchanged: the source", pods=BOTH, state=migration_state(**READY_AT), active=POD_UID),
    Case(
        name="arrived, and the source ends: the target",
        pods=(pod(phase="Succeeded"), target_pod()),
        state=migration_state(**READY_AT),
        active=TARGET_POD_UID,
    ),
    Case(
        name="arrived, and the source is being deleted: the target",
        pods=(pod(deleting=True), target_pod()),
        state=migration_state(**READY_AT),
        active=TARGET_POD_UID,
    ),
    Case(
        name="arrived, and the source is gone: the target",
        pods=(target_pod(),),
        state=migration_state(**READY_AT),
        active=TARGET_POD_UID,
    ),
    Case(
        name="the source ends during the copy: the source",
        pods=(pod(phase="Failed"), target_pod()),
        state=migration_state(startTimestamp="2026-01-02T03:02:00Z"),
        active=POD_UID,
    ),
    Case(
        name="the source is gone during the copy: it is asked for",
        pods=(target_pod(),),
        state=migration_state(startTimestamp="2026-01-02T03:02:00Z"),
        active=None,
        asks_for=POD_NAME,
    ),
    Case(
        name="node changed, not yet completed: the target",
        pods=BOTH,
        state=migration_state(**ENDED_AT),
        node=TARGET_NODE,
        active=TARGET_POD_UID,
    ),
    Case(
        name="completed: the target",
        pods=(pod(phase="Succeeded"), target_pod()),
        state=migration_state(**COMPLETED),
        node=TARGET_NODE,
        active=TARGET_POD_UID,
    ),
    Case(
        name="completed, and the target is not in sight: it is asked for",
        pods=(pod(),),
        state=migration_state(**COMPLETED),
        node=TARGET_NODE,
        active=None,
        asks_for=TARGET_NAME,
    ),
    Case(name="failed: the source", pods=BOTH, state=migration_state(**FAILED), active=POD_UID),
    Case(
        name="failed after the guest had been seen on the target, the source is gone: nobody's",
        pods=(target_pod(),),
        state=migration_state(**READY_AT, **FAILED),
        active=None,
        asks_for=POD_NAME,
    ),
    Case(
        name="both on one node, completed: the target",
        pods=(pod(), target_pod(node=NODE)),
        state=migration_state(target=target_pod(node=NODE), **COMPLETED),
        active=TARGET_POD_UID,
    ),
    Case(
        name="both on one node, failed: the source",
        pods=(pod(), target_pod(node=NODE)),
        state=migration_state(target=target_pod(node=NODE), **FAILED),
        active=POD_UID,
    ),
    Case(
        name="the second migration is pending: the first one's target",
        pods=(target_pod(), _second()),
        state=migration_state(**COMPLETED),
        node=TARGET_NODE,
        migrations=(migration("Succeeded"), migration(name="b", uid=SECOND_UID)),
        active=TARGET_POD_UID,
    ),
    Case(
        name="the second migration is handed off: its source",
        pods=(pod(phase="Succeeded"), target_pod(), _second()),
        state=_second_state(),
        node=TARGET_NODE,
        active=TARGET_POD_UID,
    ),
    Case(
        name="back on the first node: not the first pod, which has ended",
        pods=(pod(phase="Succeeded"), target_pod(phase="Succeeded"), _second()),
        state=_second_state(**COMPLETED),
        node=NODE,
        active="third",
    ),
    Case(
        name="a state that was taken away: the known pod that lives",
        pods=(pod(phase="Succeeded"), _second()),
        node=NODE,
        migrations=(migration("Succeeded", name="b", uid=SECOND_UID),),
        active="third",
    ),
    Case(
        name="out of sight, and a target on its node, as anti-affinity goes by labels: it is asked for",
        pods=(target_pod(node=NODE),),
        migrations=RUNNING,
        active=None,
        asks_for=POD_NAME,
    ),
    Case(
        name="gone, and a target on its node: the target, after a state that was taken away",
        pods=(target_pod(node=NODE),),
        migrations=RUNNING,
        podless=True,
        active=TARGET_POD_UID,
    ),
    Case(
        name="a state that names a pod that is not ours: asked for first",
        pods=(pod(),),
        state=migration_state(source=pod(name="forged")),
        active=None,
        asks_for="forged",
    ),
    Case(
        name="a state that names a pod that is not ours, which is known: the one that nicplug made",
        pods=(pod(),),
        state=migration_state(source=pod(name="forged")),
        podless=True,
        active=POD_UID,
    ),
    Case(
        name="a state that names a pod on another node than its own",
        pods=(pod(), target_pod(node="evil")),
        state=migration_state(**READY_AT),
        active=POD_UID,
    ),
    Case(
        name="a state about other nodes: the pod that nicplug made",
        pods=(pod(), target_pod()),
        state=migration_state(source=pod(node="x"), target=target_pod(node="y")),
        active=POD_UID,
    ),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_active_pod(case: Case) -> None:
    view = vmi_view(
        vmi(moving=case.state, node=case.node),
        *case.pods,
        migrations=case.migrations,
        podless_since=NOW if case.podless else None,
    )
    found = active_pod(view)
    assert (found.uid if found else None) == case.active
    asked = [action.key.name for action in plan_vmi(view, now=NOW).actions if isinstance(action, ConfirmPod)]
    assert asked == ([case.asks_for] if case.asks_for else [])


def _plan(raw: Json, *pods: Json, **view: Any) -> Plan:
    return plan_vmi(vmi_view(raw, *pods, report_pending_since=later(-9), **view), now=NOW)


@dataclass(frozen=True, kw_only=True)
class End:
    """Whose end is the VMI's."""

    name: str
    pods: tuple[Json, ...]
    state: Json | None
    node: str = NODE
    phase: str | None = None
    is_confirmed: bool = False
    migrations: tuple[Json, ...] = field(default=RUNNING)

    def __str__(self) -> str:
        return self.name


# Longer ago than a node agent that still lives would be silent.
OVER = {
    "phase": "Failed",
    "containerStatuses": [
        {"name": "compute", "state": {"terminated": {"exitCode": 1, "finishedAt": "2026-01-02T02:00:00Z"}}}
    ],
}
COPY = migration_state(startTimestamp="2026-01-02T03:02:00Z")
MOVED = migration_state(**COMPLETED)
ENDED_SOURCE = (pod(phase="Succeeded"), target_pod())
LOST_SOURCE = (pod(status=OVER), target_pod())
ENDS = [
    End(name="the target fails before the hand-off", pods=(pod(), target_pod(status=OVER)), state=None),
    End(name="the target fails before cut-over", pods=(pod(), target_pod(status=OVER)), state=COPY),
    End(name="the target is deleted before cut-over", pods=(pod(), target_pod(deleting=True)), state=COPY),
    End(name="the target is gone before cut-over", pods=(pod(),), state=COPY),
    End(name="the source fails during the copy", pods=(pod(status=OVER), target_pod()), state=COPY, phase="Failed"),
    End(
        name="the source is gone during the copy, and the target's node agent has had its time",
        pods=(target_pod(),),
        state=COPY,
        is_confirmed=True,
        phase="Failed",
    ),
    End(
        name="source and target are gone during the copy",
        pods=(target_pod(phase="Failed"),),
        state=COPY,
        is_confirmed=True,
        phase="Failed",
    ),
    End(
        name="the source fails after the guest has arrived",
        pods=(pod(status=OVER), target_pod()),
        state=migration_state(**READY_AT),
    ),
    End(name="the source succeeds after the migration", pods=ENDED_SOURCE, state=MOVED, node=TARGET_NODE),
    End(name="the source fails after the migration", pods=LOST_SOURCE, state=MOVED, node=TARGET_NODE),
    End(name="the source is gone after the migration", pods=(target_pod(),), state=MOVED, node=TARGET_NODE),
    End(
        name="the target fails after the migration",
        pods=(pod(phase="Succeeded"), target_pod(status=OVER)),
        state=MOVED,
        node=TARGET_NODE,
        phase="Failed",
    ),
    End(
        name="the target is gone after the migration",
        pods=(pod(phase="Succeeded"),),
        state=MOVED,
        node=TARGET_NODE,
        is_confirmed=True,
        phase="Failed",
    ),
]


@pytest.mark.parametrize("case", ENDS, ids=str)
def test_whose_end_is_the_vmi_s(case: End) -> None:
    raw = vmi(moving=case.state, node=case.node)
    plan = _plan(raw, *case.pods, migrations=case.migrations, podless_since=later(-120) if case.is_confirmed else None)
    status = status_of(plan)
    assert status.get("phase") == case.phase
    ready = {item["type"]: item for item in status["conditions"]}["Ready"]
    assert ready["status"] == ("True" if case.phase is None else "False")
    if case.phase is None:
        assert "reason" not in status
        assert plan.announcements == ()


def test_a_guest_whose_source_is_gone_may_have_arrived_unheard_of() -> None:
    """The source's node was lost and its pod deleted by force, when the guest ran at its target's already."""
    view = vmi_view(vmi(moving=COPY), target_pod(), migrations=RUNNING, podless_since=later(-119))
    plan = plan_vmi(view, now=NOW)
    assert "phase" not in status_of(plan)
    assert plan.again_at == later(1)


def test_both_pods_are_listed() -> None:
    status = status_of(_plan(vmi(), pod(), target_pod(), migrations=RUNNING))
    assert status["activePods"] == {POD_UID: NODE, TARGET_POD_UID: TARGET_NODE}


def test_node_and_label_are_the_node_agent_s() -> None:
    """KubeVirt writes them at Scheduled alone."""
    plan = _plan(vmi(moving=MOVED, node=TARGET_NODE), target_pod(), migrations=RUNNING)
    assert status_of(plan).keys().isdisjoint({"nodeName", "migrationTransport", "migrationMethod", "migrationState"})
    assert [action for action in plan.actions if not isinstance(action, PatchStatus)] == []


def test_the_image_is_that_of_the_pod_that_has_the_guest() -> None:
    """The target's node agent clears it."""
    new = target_pod()
    new["spec"]["containers"][0]["image"] = "launcher:2"
    moved = _plan(vmi(moving=MOVED, node=TARGET_NODE), new, migrations=RUNNING)
    assert status_of(moved)["launcherContainerImageVersion"] == "launcher:2"
    moving = _plan(vmi(moving=COPY), pod(), new, migrations=RUNNING)
    assert status_of(moving)["launcherContainerImageVersion"] == "launcher:1"


SHUT = ({"type": "Ready", "status": "False", "reason": "ReadinessGatesNotReady", "message": "not open"},)
IS_READY = {"type": "Ready", "status": "True"}
IS_PAUSED = {"type": "Paused", "status": "True", "reason": "PausedByUser"}


class TestReady:
    def _opened(self, raw: Json, *pods: Json) -> list[str]:
        plan = _plan(raw, *pods, migrations=RUNNING)
        return [action.uid for action in plan.actions if isinstance(action, PatchPodCondition)]

    def _shut(self) -> Json:
        return target_pod(gated=True, conditions=SHUT)

    def test_no_traffic_for_a_target_without_a_guest(self) -> None:
        assert self._opened(vmi(moving=COPY), pod(), self._shut()) == []

    def test_the_target_is_opened_when_the_guest_has_arrived(self) -> None:
        assert self._opened(vmi(moving=migration_state(**READY_AT)), pod(), self._shut()) == [TARGET_POD_UID]

    def test_and_once_it_is_the_vmi_s(self) -> None:
        assert self._opened(vmi(moving=MOVED, node=TARGET_NODE), pod(), self._shut()) == [TARGET_POD_UID]

    @pytest.mark.parametrize(
        ("raw", "status"),
        [
            pytest.param(vmi(moving=MOVED, node=TARGET_NODE, conditions=[IS_READY]), "True", id="was ready before"),
            pytest.param(vmi(moving=MOVED, node=TARGET_NODE), "False", id="was not ready before"),
            pytest.param(
                vmi(moving=MOVED, node=TARGET_NODE, conditions=[IS_READY, IS_PAUSED]), "False", id="was paused"
            ),
        ],
    )
    def test_it_does_not_flicker(self, raw: Json, status: str) -> None:
        rows = (raw["status"] | status_of(_plan(raw, self._shut(), migrations=RUNNING)))["conditions"]
        assert {item["type"]: item["status"] for item in rows}["Ready"] == status

    def test_a_first_start_is_not_ready_before_its_pod_is(self) -> None:
        raw = vmi(conditions=[IS_READY])
        rows = status_of(_plan(raw, pod(gated=True, conditions=SHUT)))["conditions"]
        assert {item["type"]: item["status"] for item in rows}["Ready"] == "False"


def test_what_it_has_escaped_is_no_reason_any_more() -> None:
    raw = vmi(moving=MOVED, node=TARGET_NODE)
    raw["status"]["reason"] = "Evicted"
    assert status_of(_plan(raw, target_pod(), migrations=RUNNING))["reason"] is None


class TestRows:
    """No row is lost or doubled at the cut-over."""

    RAW_ROWS = (primary_row("domain"), row("blue", "domain", "multus-status"))

    def _rows(self, raw: Json, *pods: Json) -> list[Json]:
        status = raw["status"] | status_of(_plan(raw, *pods, migrations=RUNNING))
        found: list[Json] = status["interfaces"]
        return found

    def _vmi(self, **members: Any) -> Json:
        return vmi(primary(), nic("blue"), nic("red"), rows=self.RAW_ROWS, **members)

    def test_while_it_moves_they_are_the_source_s(self) -> None:
        raw = self._vmi(moving=migration_state(**READY_AT))
        assert self._rows(raw, pod(attached=["blue"]), target_pod(attached=["blue", "red"])) == list(self.RAW_ROWS)

    def test_what_only_the_target_has_is_served_after_the_move(self) -> None:
        raw = self._vmi(moving=migration_state(**ENDED_AT), node=TARGET_NODE)
        rows = self._rows(raw, pod(attached=["blue"]), target_pod(attached=["blue", "red"]))
        assert rows == [*self.RAW_ROWS, row("red", "multus-status")]

    def test_a_target_that_says_nothing_yet_takes_nothing_away(self) -> None:
        raw = self._vmi(moving=MOVED, node=TARGET_NODE)
        assert self._rows(raw, target_pod(status_text="")) == list(self.RAW_ROWS)

    def test_ordinal_names_become_hashed(self) -> None:
        raw = vmi(
            primary(),
            nic("blue"),
            rows=[primary_row("domain"), row("blue", "domain", "multus-status", pod_interface="net1")],
            moving=MOVED,
            node=TARGET_NODE,
        )
        assert self._rows(raw, target_pod(attached=["blue"])) == list(self.RAW_ROWS)


class TestEnd:
    """A VMI that is deleted in the midst of a migration."""

    def test_all_its_pods_go(self) -> None:
        plan = _plan(vmi(deleting=True, moving=COPY), pod(), target_pod(), migrations=RUNNING)
        assert [action.uid for action in plan.actions if isinstance(action, Delete)] == [POD_UID, TARGET_POD_UID]

    def test_it_is_not_released_while_a_target_ends(self) -> None:
        plan = _plan(vmi(deleting=True, moving=COPY), target_pod(deleting=True), migrations=RUNNING)
        assert [action for action in plan.actions if not isinstance(action, PatchStatus)] == []

    def test_every_pod_that_may_be_left_is_asked_for(self) -> None:
        waiting = migration("Scheduling", name="b", uid=SECOND_UID)
        plan = _plan(vmi(deleting=True, moving=MOVED), podless_since=None, migrations=[migration("Succeeded"), waiting])
        (action,) = plan.actions
        assert isinstance(action, ConfirmPod)
        assert [key.name for key in action.keys] == [POD_NAME, TARGET_NAME, _second()["metadata"]["name"]]


class TestLabels:
    @pytest.mark.parametrize(
        ("labels", "lost"),
        [
            pytest.param({"kubevirt.io": "virt-launcher"}, {"kubevirt.io/created-by": VMI_UID}, id="created-by"),
            pytest.param({"kubevirt.io/created-by": VMI_UID}, {"kubevirt.io": "virt-launcher"}, id="of launchers"),
            pytest.param(
                {"kubevirt.io": "x", "kubevirt.io/created-by": "y"},
                {"kubevirt.io": "virt-launcher", "kubevirt.io/created-by": VMI_UID},
                id="both changed",
            ),
            pytest.param({}, {"kubevirt.io": "virt-launcher", "kubevirt.io/created-by": VMI_UID}, id="no label left"),
        ],
    )
    @pytest.mark.parametrize("is_target", [False, True], ids=["source", "target"])
    def test_they_are_put_back(self, labels: Json, lost: Json, is_target: bool) -> None:
        bare = target_pod(labels=labels) if is_target else pod(labels=labels)
        plan = _plan(vmi(), *((pod(), bare) if is_target else (bare, target_pod())), migrations=RUNNING)
        (action,) = [action for action in plan.actions if isinstance(action, PatchLabels)]
        assert action.uid == (TARGET_POD_UID if is_target else POD_UID)
        assert thaw(action.wanted) == lost

    def test_not_on_a_pod_that_nobody_knows(self) -> None:
        forged = target_pod(name="forged", labels={"kubevirt.io/migrationJobUID": MIGRATION_UID})
        plan = _plan(vmi(), pod(), forged, migrations=RUNNING)
        assert [action for action in plan.actions if isinstance(action, PatchLabels)] == []


class TestLostMigration:
    """A leader that was held up has handed off what another one had failed and let go."""

    def _ended(self, *pods: Json, is_lost: bool = True, **state: Any) -> Json | None:
        view = vmi_view(vmi(moving=migration_state(**state)), *pods, has_lost_migration=is_lost)
        found = [item for item in plan_vmi(view, now=NOW).actions if isinstance(item, PatchMigrationState)]
        return thaw(found[0].wanted)["migrationState"] if found else None

    def test_it_is_ended(self) -> None:
        ended = self._ended(pod())
        assert ended is not None
        assert (ended["failed"], ended["completed"]) == (True, True)
        assert ended["failureReason"] == "the migration does not exist any more"

    def test_a_target_that_has_ended_keeps_nothing_going(self) -> None:
        assert self._ended(pod(), target_pod(phase="Failed")) is not None

    def test_while_the_target_lives_its_node_agents_go_on(self) -> None:
        assert self._ended(pod(), target_pod()) is None

    def test_a_guest_that_has_arrived_stays_where_it_is(self) -> None:
        assert self._ended(pod(), **READY_AT) is None

    def test_one_that_may_only_be_unheard_of_goes_on(self) -> None:
        assert self._ended(pod(), is_lost=False) is None


def test_a_nic_that_the_target_was_made_with_is_not_forgotten_though_the_source_has_let_it_go() -> None:
    """Its entry was dropped, so nobody asked the target again when its controller failed to detach the NIC."""
    raw = vmi(primary(), absent("blue"), rows=[primary_row()], moving=migration_state())
    target = target_pod(networks=[element("blue")], attached=["blue"])
    assert not _drops(_plan(raw, pod(), target, migrations=RUNNING))
    assert _drops(_plan(vmi(primary(), absent("blue"), rows=[primary_row()]), pod()))


def _drops(plan: Plan) -> bool:
    return any(isinstance(action, PatchInterfaces) for action in plan.actions)
