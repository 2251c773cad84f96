"""The queue of migrations as it is shown: the order in which the operator gives slots."""

from datetime import timedelta

import pytest
from tests.build import NOW, Json, a_migration, migration

from nicplug.insight.queue import in_order
from nicplug.model.keys import MigrationKey, VmiKey
from nicplug.model.migration import Migration
from nicplug.model.migration_configuration import MigrationLimits
from nicplug.model.slot_ledger import Contender, SlotEntry
from nicplug.plan.migration.slots import SlotsView, plan_slots, priority_of


def waiting(
    name: str, second: int, *, reason: str = "WaitingForSlot", namespace: str = "default", **spec: str
) -> Migration:
    condition: Json = {"type": "Progressing", "status": "True", "reason": reason, "message": "m"}
    return a_migration(
        migration(
            "Pending",
            name=name,
            uid=name,
            spec=spec,
            status={"conditions": [condition]},
            creationTimestamp=f"2026-01-02T03:00:{second:02}Z",
            namespace=namespace,
        )
    )


def entry(name: str, *, namespace: str = "default") -> SlotEntry:
    return SlotEntry(
        migration=MigrationKey(namespace, name), uid=name, vmi=VmiKey(namespace, name), source_node="node01"
    )


def test_ended_migrations_were_not_in_the_order_of_time() -> None:
    def ended(name: str, created: str, **spec: str) -> Migration:
        return a_migration(migration("Succeeded", name=name, uid=name, spec=spec, creationTimestamp=created))

    found = in_order(
        [
            ended("second", "2026-01-02T03:00:02Z"),
            ended("first", "2026-01-02T03:00:01Z", priority="system-critical"),
            ended("third", "2026-01-02T03:00:03Z"),
        ],
        entries={},
    )
    assert [item.name for item in found] == ["third", "second", "first"]


def test_the_queue_is_in_order() -> None:
    found = in_order(
        [
            waiting("late", 2),
            waiting("early", 1),
            waiting("urgent", 3, priority="system-critical"),
            waiting("failed-before", 0, reason="MigrationBackoff"),
            a_migration(migration("Running", name="moving", uid="moving")),
            a_migration(migration("Succeeded", name="over", uid="over")),
        ],
        entries={"moving": entry("moving")},
    )
    assert [(item.name, item.position) for item in found] == [
        ("moving", None),
        ("urgent", 1),
        ("early", 2),
        ("late", 3),
        ("failed-before", None),
        ("over", None),
    ]


MOVING = a_migration(migration("Running", name="moving", uid="moving", namespace="crowd"))
CROWD = [waiting(f"crowd{number}", number, namespace="crowd") for number in range(4)]
OTHERS = [waiting(f"other{number}", 30 + number, namespace="other") for number in range(2)]
URGENT = waiting("urgent", 50, namespace="crowd", priority="system-critical")
ORDER = ["urgent", "other0", "other1", "crowd0", "crowd1", "crowd2", "crowd3"]


@pytest.mark.parametrize("is_ledger_read", [True, False])
def test_the_place_that_is_shown_is_the_one_that_the_migration_is_told(is_ledger_read: bool) -> None:
    """The list went by age alone, where the operator goes round the namespaces."""
    taken = {"moving": entry("moving", namespace="crowd")}
    found = in_order([MOVING, *CROWD, *OTHERS, URGENT], entries=taken if is_ledger_read else {})
    decided = plan_slots(
        SlotsView(
            entries=taken,
            ended=frozenset(),
            contenders=tuple(map(_contender, [*CROWD, *OTHERS, URGENT])),
            limits=MigrationLimits(per_cluster=1),
        ),
        now=NOW + timedelta(minutes=1),
    )
    # The urgent one, once it goes, counts as well: its namespace then has two under way.
    assert [item.name for item in found if item.position is not None] == ORDER
    for item in found:
        if item.position is not None:
            assert decided.slots[item.name].message[0] == str(item.position)


def _contender(item: Migration) -> Contender:
    return Contender(
        key=item.key,
        uid=item.uid,
        vmi=VmiKey(item.key.namespace, item.key.name),
        created=item.created,
        priority=priority_of(item),
        source_node=f"node-{item.uid}",
        wants=True,
    )
