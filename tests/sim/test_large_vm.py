"""A large VMI whose NICs all fail is written seldom, however long it lasts: each write delays every other VM."""

import random
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta

import pytest
import structlog
from tests.build import nic
from tests.sim.cluster import PODS, VMIS, Cluster, Json
from tests.sim.node_side import ROLES
from tests.sim.operators import Faults, Operator
from tests.sim.users import BARE, make_world

from nicplug.elided import STORED_BYTES

NICS = 60
LARGE = 1_300_000
HOUR = 3600.0


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("critical"))
    yield
    structlog.reset_defaults()


class World:
    """One node, whose dynamic networks controller fails at everything, and one operator."""

    def __init__(self) -> None:
        self.cluster = Cluster()
        make_world(self.cluster, removal_policy="Explicit")
        self.operator = Operator("operator", self.cluster, Faults(), random.Random(1))
        self.writes: Counter[str] = Counter()
        self.pass_time(5.0)
        self.cluster.machines["node01"].is_controller_broken = True
        self.cluster.on_commit.append(self._count)

    def _count(self, cluster: Cluster) -> None:
        change = cluster.last
        assert change is not None
        if (
            change.by == "operator"
            and change.plural in (VMIS, PODS)
            and change.after["metadata"]["name"].find(BARE) >= 0
        ):
            self.writes[change.plural] += 1

    def edit(self, **members: object) -> None:
        body = self.vmi()
        self.cluster.replace(VMIS, BARE, body | members, by="user")

    def ask_for(self, *names: str) -> None:
        body = self.vmi()
        body["spec"]["architecture"] = "s390x"  # where nobody counts PCI slots, of which no guest has so many
        for name in names:
            interface, network = nic(name, attachment="red-net")
            body["spec"]["domain"]["devices"]["interfaces"].append(interface)
            body["spec"]["networks"].append(network)
        self.cluster.replace(VMIS, BARE, body, by="user")

    def vmi(self) -> Json:
        body = self.cluster.get(VMIS, BARE)
        assert body is not None
        return body

    def records(self) -> dict[str, Json]:
        return {row["name"]: row for row in self.vmi()["status"].get("interfaceOperations") or ()}

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


def _failing_world(*, stored_bytes: int) -> World:
    world = World()
    world.edit(**{STORED_BYTES: stored_bytes})
    world.ask_for(*(f"nic-{number}" for number in range(NICS)))
    return world


def test_failing_nics_of_a_large_vmi_cost_few_writes_in_an_hour() -> None:
    """Each NIC had a back-off of its own and turns of two seconds: 300 writes of the pod in ten minutes."""
    world = _failing_world(stored_bytes=LARGE)
    world.pass_time(HOUR)
    assert {row["phase"] for row in world.records().values()} == {"Failed"}
    assert all(row["attempts"] > 1 for row in world.records().values()), "each is tried again"
    assert world.writes[PODS] <= 110
    assert world.writes[VMIS] <= 110, "one status for each turn"
    assert world.operator.api.writes <= 400


def test_another_nic_of_a_large_vmi_waits_for_none_that_fail() -> None:
    world = _failing_world(stored_bytes=LARGE)
    world.pass_time(HOUR / 4)
    world.cluster.machines["node01"].is_controller_broken = False
    world.ask_for("late")
    world.pass_time(1.0)
    assert world.records()["late"]["phase"] == "Ready"


def test_failing_nics_of_an_ordinary_vmi_have_turns_of_two_seconds() -> None:
    world = _failing_world(stored_bytes=0)
    world.pass_time(60.0)
    assert world.writes[PODS] > 25
