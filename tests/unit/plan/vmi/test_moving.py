"""Whether a VMI is being migrated, and what its target pod was made with."""

from dataclasses import dataclass, field

import pytest
from tests.build import (
    MIGRATION_UID,
    Json,
    element,
    migration,
    migration_state,
    nic,
    pod,
    primary,
    target_pod,
    vmi,
    vmi_view,
)

from nicplug.plan.vmi import moving

ANOTHER_UID = "99999999-dddd-4000-8000-000000000009"


@dataclass(frozen=True, kw_only=True)
class Case:
    name: str
    pods: tuple[Json, ...] = ()
    migrations: tuple[Json, ...] = ()
    state: Json | None = None
    is_moving: bool = True
    target: Json | None = None
    node: str = "node01"
    members: Json = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name


FORGED = target_pod(name="virt-launcher-forged", uid="forged")
DOWN = target_pod(phase="Failed")
DONE = migration_state(completed=True)
OTHERS = migration_state(migration_uid=ANOTHER_UID, completed=True)

CASES = [
    Case(name="no migration", is_moving=False),
    Case(name="accepted, without a target", migrations=(migration("Pending"),), is_moving=False),
    Case(
        name="pending, its target just made",
        migrations=(migration("Pending"),),
        pods=(target_pod(),),
        target=target_pod(),
    ),
    Case(name="says that there is a target, which is not in sight", migrations=(migration("Scheduling"),)),
    Case(
        name="handed off",
        migrations=(migration("PreparingTarget"),),
        pods=(target_pod(),),
        state=migration_state(),
        target=target_pod(),
    ),
    Case(
        name="moved, not yet completed",
        migrations=(migration("Running"),),
        pods=(target_pod(),),
        state=migration_state(endTimestamp="2026-01-02T03:00:00Z"),
        node="node02",
        target=target_pod(),
    ),
    Case(
        name="completed, though the migration does not know yet",
        migrations=(migration("Running"),),
        pods=(target_pod(),),
        state=DONE,
        node="node02",
        is_moving=False,
    ),
    Case(
        name="failed, though the migration does not know yet",
        migrations=(migration("Running"),),
        pods=(target_pod(),),
        state=migration_state(failed=True, completed=True),
        is_moving=False,
    ),
    Case(
        name="the next one, while the state is of the last one",
        migrations=(migration("Succeeded", name="last", uid=ANOTHER_UID), migration("Scheduling")),
        pods=(target_pod(),),
        state=OTHERS,
        target=target_pod(),
    ),
    Case(name="succeeded", migrations=(migration("Succeeded"),), pods=(target_pod(),), state=DONE, is_moving=False),
    Case(name="failed before the hand-off", migrations=(migration("Failed"),), pods=(target_pod(),), is_moving=False),
    Case(name="its target has ended", migrations=(migration("Scheduling"),), pods=(DOWN,)),
    Case(
        name="a forged pod with the right label",
        migrations=(migration("Pending"),),
        pods=(FORGED,),
        is_moving=False,
    ),
    Case(
        name="handed off by a virt-controller before us, under a name of its own",
        migrations=(migration("PreparingTarget"),),
        pods=(FORGED,),
        state=migration_state(target=FORGED),
        target=FORGED,
    ),
    Case(
        name="the migration was removed by force, and the node agents go on",
        pods=(target_pod(),),
        state=migration_state(),
        target=target_pod(),
    ),
    Case(name="removed by force, and the target has ended", pods=(DOWN,), state=migration_state(), is_moving=False),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_moving(case: Case) -> None:
    raw = vmi(moving=case.state, node=case.node)
    view = vmi_view(raw, pod(), *case.pods, migrations=case.migrations)
    found = moving.target_pod(view)
    assert moving.is_moving(view) is case.is_moving
    assert (found.uid if found else None) == (case.target["metadata"]["uid"] if case.target else None)


def test_what_the_target_was_made_with() -> None:
    made = target_pod(networks=[element("blue"), element("red", attachment="old-net"), {"name": "x", "interface": "y"}])
    raw = vmi(primary(), nic("blue"), nic("red"), nic("green"))
    view = vmi_view(raw, pod(), made, migrations=[migration("Scheduling")])
    in_progress = moving.migration_in_progress_of(view)
    assert in_progress is not None
    assert in_progress.networks == {"blue": "default/blue-net", "red": "default/old-net"}


@pytest.mark.parametrize("text", [None, "", "{broken"])
def test_a_target_that_says_nothing(text: str | None) -> None:
    view = vmi_view(vmi(primary(), nic("blue")), pod(), target_pod(networks=text), migrations=[migration()])
    in_progress = moving.migration_in_progress_of(view)
    assert in_progress is not None
    assert in_progress.networks == {}


def test_names_of_target_pods() -> None:
    """One per migration, and none is the first pod's."""
    names = {pod()["metadata"]["name"], target_pod()["metadata"]["name"]}
    names.add(target_pod(migration_uid=ANOTHER_UID)["metadata"]["name"])
    assert len(names) == 3
    assert target_pod(migration_uid=MIGRATION_UID)["metadata"]["name"] in names
