"""Whose turn it is: by priority, then round the namespaces, then by age."""

from datetime import timedelta
from typing import Any

import pytest
from tests.build import NOW

from nicplug.model.keys import MigrationKey, VmiKey
from nicplug.model.slot_ledger import Contender
from nicplug.plan.migration.slots import grant_in_turn


def _members(name: str, namespace: str) -> dict[str, Any]:
    return {"key": MigrationKey(namespace, name), "uid": name, "vmi": VmiKey(namespace, name), "source_node": ""}


def one(name: str, *, namespace: str = "a", age: int = 0, priority: int = 0) -> Contender:
    return Contender(**_members(name, namespace), priority=priority, created=NOW - timedelta(seconds=age))


def line(namespace: str, count: int, *, age: int = 0, **members: int) -> list[Contender]:
    """`a0`, `a1`...: the lower the older."""
    return [
        one(f"{namespace}{number}", namespace=namespace, age=age + count - number, **members) for number in range(count)
    ]


@pytest.mark.parametrize(
    ("waiting", "under_way", "order"),
    [
        pytest.param(line("a", 3), {}, "a0 a1 a2", id="of one namespace the oldest first"),
        pytest.param([*line("a", 3, age=60), *line("b", 1)], {}, "a0 b0 a1 a2", id="a second tenant waits for one"),
        pytest.param([*line("a", 3, age=60), *line("b", 3)], {}, "a0 b0 a1 b1 a2 b2", id="in turns"),
        pytest.param(
            [*line("a", 3, age=60), *line("b", 3)], {"a": 2}, "b0 b1 a0 b2 a1 a2", id="what is under way counts"
        ),
        pytest.param(
            [*line("a", 2, age=60), *line("b", 1), *line("c", 1, age=9)],
            {"a": 1},
            "c0 b0 a0 a1",
            id="of namespaces with equally many under way the oldest migration",
        ),
        pytest.param(
            [*line("a", 2), *line("b", 1, priority=50)], {"b": 5}, "b0 a0 a1", id="a higher priority first all the same"
        ),
        pytest.param(
            [*line("a", 1, priority=50), *line("b", 1, age=9, priority=20), *line("c", 1, priority=20), one("a9")],
            {},
            "a0 b0 c0 a9",
            id="each priority by itself",
        ),
        pytest.param([one("z"), one("y")], {}, "y z", id="of one moment everybody decides the same"),
    ],
)
def test_whose_turn_it_is(waiting: list[Contender], under_way: dict[str, int], order: str) -> None:
    assert [item.uid for item in grant_in_turn(waiting, under_way=under_way)] == order.split()
    assert [item.uid for item in grant_in_turn(waiting[::-1], under_way=under_way)] == order.split()


def test_one_that_cannot_go_costs_its_namespace_no_turn() -> None:
    gone = grant_in_turn([*line("a", 3, age=9), *line("b", 2)], under_way={}, goes=lambda item: item.uid != "a0")
    assert [item.uid for item in gone] == ["a1", "b0", "a2", "b1"]


class Counted(Contender):
    """Counts how often anybody asks how old it is."""

    asked = 0

    @property
    def age_rank(self) -> tuple[object, str]:  # type: ignore[override]
        Counted.asked += 1
        return (self.created, self.uid)


@pytest.fixture(autouse=True)
def _from_zero() -> None:
    Counted.asked = 0


@pytest.mark.parametrize("namespaces", [1, 40, 2000])
def test_turns_cost_each_migration_two_looks_however_many_namespaces_there_are(namespaces: int) -> None:
    waiting: list[Contender] = [
        Counted(**_members(f"m{number}", f"n{number % namespaces}"), priority=0, created=NOW) for number in range(2000)
    ]
    assert len(grant_in_turn(waiting, under_way={})) == 2000
    assert Counted.asked == 2 * 2000
