"""A user who takes a NIC away and asks for it again, without end, does not have the guest moved without end."""

import random
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
import structlog
from tests.build import nic
from tests.sim.cluster import MIGRATIONS, VMS, Cluster, Json
from tests.sim.dynamic_controller import stop_controller
from tests.sim.node_side import ROLES
from tests.sim.operators import Faults, Operator
from tests.sim.users import VM, make_world

from nicplug.plan.nic.path.migration_history import MOST_RECENT_MOVES

MINUTE = 60.0


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
    yield
    structlog.reset_defaults()


class World:
    """Three nodes without dynamic networks controllers, one operator, and a VM of a user with a plan.

    Attributes:
        moved: when the node agents got each migration.
        made: every migration there was.
    """

    def __init__(self) -> None:
        self.cluster = Cluster(("node01", "node02", "node03"))
        make_world(self.cluster, removal_policy="Explicit")
        for name in self.cluster.machines:
            stop_controller(self.cluster, name)
        self.operator = Operator("operator", self.cluster, Faults(), random.Random(1))
        self.moved: dict[str, datetime] = {}
        self.made: set[str] = set()
        self.cluster.on_commit.append(self._note)
        self.pass_time(5.0)

    def _note(self, cluster: Cluster) -> None:
        change = cluster.last
        if change is None or change.plural != MIGRATIONS:
            return
        uid = change.after["metadata"]["uid"]
        self.made.add(uid)
        entered = change.after.get("status", {}).get("phaseTransitionTimestamps") or ()
        if any(row["phase"] == "PreparingTarget" for row in entered):
            self.moved.setdefault(uid, cluster.now)

    def toggle(self, name: str = "blue") -> None:
        """Edit the template: what is there shall go, what is not shall come."""
        body = self.vm()
        spec = body["spec"]["template"]["spec"]
        interfaces = spec["domain"]["devices"]["interfaces"]
        found = next((item for item in interfaces if item["name"] == name), None)
        if found is None:
            interface, network = nic(name, attachment="blue-net")
            interfaces.append(interface)
            spec["networks"].append(network)
        elif found.pop("state", None) is None:
            found["state"] = "absent"
        self.cluster.replace(VMS, VM, body, by="user")

    def vm(self) -> Json:
        body = self.cluster.get(VMS, VM)
        assert body is not None
        return body

    def said(self) -> set[str]:
        """What migrations that have not ended wait for."""
        rows = [
            row
            for body in self.cluster.all(MIGRATIONS)
            if body.get("status", {}).get("phase") == "Pending"
            for row in body["status"].get("conditions", ())
        ]
        return {row["reason"] for row in rows if row["type"] == "Progressing"}

    def unfinished(self) -> bool:
        return any(
            body.get("status", {}).get("phase") not in ("Succeeded", "Failed") for body in self.cluster.all(MIGRATIONS)
        )

    def pass_time(self, seconds: float) -> None:
        """Everybody acts until nobody waits for anything any more before that time."""
        end = self.cluster.now + timedelta(seconds=seconds)
        while True:
            while any([self.operator.hear(), self.operator.work(), *(role(self.cluster) for role in ROLES)]):
                assert not self.operator.bugs
            due = self.operator.next_due()
            if due is None or due > end:
                break
            self.cluster.pass_time(max(0.001, (due - self.cluster.now).total_seconds()))
        self.cluster.pass_time(max(0.0, (end - self.cluster.now).total_seconds()))

    def most_moves_within(self, window: timedelta) -> int:
        """The most copies of the guest that began within so long."""
        times = sorted(self.moved.values())
        return max((sum(begin <= time < begin + window for time in times) for begin in times), default=0)


# The first few at once, and then one a minute; each begins a little after the last one ended.
MOST_IN_TEN_MINUTES = MOST_RECENT_MOVES + 1 + 10


@pytest.mark.parametrize(("seconds", "times"), [(0.06, 100), (0.5, 60), (5.0, 140)])
def test_a_thousand_toggles_a_minute_moved_the_guest_without_end(seconds: float, times: int) -> None:
    world = World()
    for _ in range(times):
        world.toggle()
        world.pass_time(seconds)
    world.pass_time(MINUTE)
    assert world.most_moves_within(timedelta(minutes=10)) <= MOST_IN_TEN_MINUTES


def test_a_user_who_waits_for_each_migration_has_the_guest_moved_once_a_minute() -> None:
    """Each ended well, which ended every back-off: hundreds in ten minutes."""
    world = World()
    reasons: set[str] = set()
    end = world.cluster.now + timedelta(minutes=15)
    while world.cluster.now < end:
        world.toggle()
        world.pass_time(1.0)
        while world.unfinished() and world.cluster.now < end:
            reasons |= world.said()
            world.pass_time(1.0)
    assert len(world.moved) > 10
    assert world.most_moves_within(timedelta(minutes=10)) <= MOST_IN_TEN_MINUTES
    assert "MigrationRateLimited" in reasons


def test_three_nics_one_after_the_other_are_not_delayed() -> None:
    world = World()
    began = world.cluster.now
    for name in ("blue", "green", "white"):
        world.toggle(name)
        world.pass_time(5.0)
        assert not world.unfinished()
    assert len(world.moved) >= 3
    assert world.cluster.now - began < timedelta(minutes=1)
