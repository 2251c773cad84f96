"""Who may go, who waits, and what the ledger shall say: one row per rule."""

from dataclasses import replace
from datetime import timedelta

import pytest
from tests.build import (
    NOW,
)

from nicplug.model.keys import MigrationKey, VmiKey
from nicplug.model.migration_configuration import MigrationLimits, parse_limits
from nicplug.model.slot_ledger import Contender, SlotEntry
from nicplug.plan.migration.slots import SlotsPlan, SlotsView, plan_slots

LIMITS = MigrationLimits()
WIDE = MigrationLimits(per_cluster=1000, outbound_per_node=1000, inbound_per_node=1000)


def one(name: str, *, source: str = "", age: int = 0, **members: object) -> Contender:
    """A migration of a VM of its own, that wants a slot; from a node of its own, unless said otherwise."""
    fields = {
        "key": MigrationKey("default", name),
        "uid": f"uid-{name}",
        "vmi": VmiKey("default", f"vm-{name}"),
        "created": NOW - timedelta(seconds=age),
        "priority": 0,
        "source_node": source or f"node-{name}",
        "wants": True,
    }
    return Contender(**{**fields, **members})  # type: ignore[arg-type]


def under_way(name: str, **members: object) -> Contender:
    """One with a target pod."""
    return one(name, holds=True, wants=False, **members)  # type: ignore[arg-type]


def entry(contender: Contender, *, target: str = "", age: int = 0) -> SlotEntry:
    """Its slot."""
    return SlotEntry(
        migration=contender.key,
        uid=contender.uid,
        vmi=contender.vmi,
        source_node=contender.source_node,
        target_node=target,
        granted_at=NOW - timedelta(seconds=age),
    )


def plan(
    *contenders: Contender,
    held: tuple[SlotEntry, ...] = (),
    ended: tuple[str, ...] = (),
    returned: tuple[str, ...] = (),
    limits: MigrationLimits = LIMITS,
) -> SlotsPlan:
    """What is decided."""
    return plan_slots(
        SlotsView(
            entries={item.uid: item for item in held},
            ended=frozenset(f"uid-{name}" for name in ended),
            contenders=contenders,
            limits=limits,
            returned=frozenset(f"uid-{name}" for name in returned),
        ),
        now=NOW,
    )


def granted(decided: SlotsPlan) -> list[str]:
    """Who has a slot in the ledger."""
    return sorted(item.migration.name for item in decided.entries.values())


def many(count: int, **members: object) -> list[Contender]:
    return [one(f"m{number:03}", age=count - number, **members) for number in range(count)]  # type: ignore[arg-type]


def test_up_to_the_limit_of_the_cluster_go_the_oldest_first() -> None:
    decided = plan(*reversed(many(100)))
    assert granted(decided) == ["m000", "m001", "m002", "m003", "m004"]
    assert [name for name, slot in sorted(decided.slots.items()) if slot.is_granted] == sorted(decided.entries)


def test_up_to_the_outbound_limit_of_a_node_go_and_nobody_is_held_up_behind_them() -> None:
    crowd = [one(f"a{number}", source="node01", age=10) for number in range(5)]
    decided = plan(*crowd, one("z", source="node02"))
    assert granted(decided) == ["a0", "a1", "z"]
    assert "parallelOutboundMigrationsPerNode of node01: 2, all taken" in decided.slots["uid-a2"].message


def of(namespace: str, name: str, **members: object) -> Contender:
    return one(name, key=MigrationKey(namespace, name), vmi=VmiKey(namespace, name), **members)  # type: ignore[arg-type]


def test_one_tenant_s_twenty_vms_keep_nobody_else_waiting() -> None:
    """Slots went by age alone: N toggled VMs of one tenant put N migrations in front of everybody else's."""
    crowd = [of("crowd", f"c{number:02}", age=100 - number) for number in range(20)]
    decided = plan(*crowd, of("other", "z"))
    assert granted(decided) == ["c00", "c01", "c02", "c03", "z"]
    running = [replace(item, holds=True, wants=False) for item in crowd[:5]]
    late = plan(*running, *crowd[5:], of("other", "z"), held=tuple(map(entry, running)))
    assert late.slots["uid-z"].message.startswith("1st in the queue, behind migration crowd/c00")
    assert late.slots["uid-c05"].message.startswith("2nd in the queue")
    freed = plan(*running[1:], *crowd[5:], of("other", "z"), held=tuple(map(entry, running)), ended=("c00",))
    assert granted(freed) == ["c01", "c02", "c03", "c04", "z"]


@pytest.mark.parametrize(
    ("contenders", "first"),
    [
        ([one("old", age=9), one("critical", priority=100)], "critical"),
        ([one("maintenance", priority=20), one("user", priority=50)], "user"),
        ([one("new"), one("old", age=9)], "old"),
        ([one("b"), one("a")], "a"),
        ([one("unknown", created=None), one("a")], "a"),
    ],
)
def test_who_goes_first(contenders: list[Contender], first: str) -> None:
    decided = plan(*contenders, limits=replace(LIMITS, per_cluster=1))
    assert granted(decided) == [first]


def test_a_slot_that_was_given_is_kept_whoever_comes() -> None:
    mine = one("mine")
    decided = plan(mine, one("critical", priority=100), held=(entry(mine),), limits=replace(LIMITS, per_cluster=1))
    assert granted(decided) == ["mine"]
    assert decided.entries["uid-mine"] == entry(mine)


def test_a_slot_of_one_that_has_ended_is_free_at_once() -> None:
    gone = one("gone")
    decided = plan(one("next"), held=(entry(gone),), ended=("gone",), limits=replace(LIMITS, per_cluster=1))
    assert granted(decided) == ["next"]


def test_a_slot_of_one_that_was_never_heard_of_counts() -> None:
    decided = plan(one("next"), held=(entry(one("stranger")),), limits=replace(LIMITS, per_cluster=1))
    assert granted(decided) == ["stranger"]


def test_what_is_under_way_counts_although_the_ledger_was_lost() -> None:
    decided = plan(*(under_way(f"u{number}") for number in range(7)), one("next"))
    assert granted(decided) == [f"u{number}" for number in range(7)]
    assert not decided.slots["uid-next"].is_granted


def test_a_lowered_limit_takes_nothing_back() -> None:
    running = [under_way(f"u{number}") for number in range(3)]
    held = tuple(entry(item) for item in running)
    low = replace(LIMITS, per_cluster=1)
    assert granted(plan(*running, one("next"), held=held, limits=low)) == ["u0", "u1", "u2"]
    assert granted(plan(running[0], one("next"), held=held, ended=("u1", "u2"), limits=low)) == ["u0"]


def test_of_one_vm_one_migration_has_a_slot() -> None:
    vm = VmiKey("default", "vm")
    decided = plan(one("a", vmi=vm, age=1), one("b", vmi=vm), limits=WIDE)
    assert granted(decided) == ["a"]


def test_a_limit_of_zero_says_so() -> None:
    decided = plan(one("a"), limits=replace(LIMITS, per_cluster=0))
    assert decided.entries == {}
    assert decided.slots["uid-a"].message == (
        "1st in the queue: parallelMigrationsPerCluster is 0, which lets no migration begin"
    )


@pytest.mark.parametrize(
    ("limits", "limit"),
    [
        (replace(LIMITS, per_cluster=0), "parallelMigrationsPerCluster"),
        (replace(LIMITS, outbound_per_node=0), "parallelOutboundMigrationsPerNode"),
        (replace(LIMITS, per_cluster=1, outbound_per_node=0), "parallelOutboundMigrationsPerNode"),
        (replace(LIMITS, inbound_per_node=0), "parallelInboundMigrationsPerNode"),
    ],
)
def test_a_limit_of_zero_says_so_also_while_a_migration_is_under_way(limits: MigrationLimits, limit: str) -> None:
    running = under_way("u")
    decided = plan(running, one("a"), one("b", source="node-u"), held=(entry(running),), limits=limits)
    reported = f"in the queue: {limit} is 0, which lets no migration begin"
    assert (decided.slots["uid-a"].message, decided.slots["uid-b"].message) == (f"1st {reported}", f"2nd {reported}")


def test_with_no_place_on_any_node_no_target_pod_holds_a_slot_without_end() -> None:
    """Each had a slot and a target pod, which waited for its turn and kept all others from migrating."""
    first = plan(one("a"), one("b"), limits=replace(LIMITS, inbound_per_node=0))
    assert first.entries == {}
    assert not any(slot.is_granted for slot in first.slots.values())
    assert granted(plan(one("a"), one("b"), limits=replace(LIMITS, inbound_per_node=1))) == ["a", "b"]


def test_a_limit_of_zero_of_the_target_node_says_so_also_while_one_arrives_there() -> None:
    there = replace(under_way("u"), target_node="node09", is_handed_off=True)
    here = replace(under_way("a"), target_node="node09")
    decided = plan(there, here, held=(entry(there), entry(here)), limits=replace(LIMITS, inbound_per_node=0))
    assert decided.slots["uid-a"].message == (
        "1st in the queue: parallelInboundMigrationsPerNode is 0, which lets no migration begin"
    )


def test_a_slot_that_cannot_be_used_is_given_back_in_two_steps() -> None:
    """A quota, a VM that was stopped: somebody who has read the ledger may be making the target pod all the same."""
    stuck, coming = one("stuck", wants=False), one("coming")
    limits = replace(LIMITS, per_cluster=1)
    first = plan(stuck, coming, held=(entry(stuck),), limits=limits)
    assert first.entries == {"uid-stuck": replace(entry(stuck), is_returning=True)}
    assert not any(slot.is_granted for slot in first.slots.values())
    held = tuple(first.entries.values())
    assert granted(plan(stuck, coming, held=held, limits=limits)) == ["stuck"]
    assert granted(plan(stuck, coming, held=held, returned=("stuck",), limits=limits)) == ["coming"]


def test_a_slot_that_is_being_given_back_is_not_used_before_it_is_given_again() -> None:
    again = one("again")
    held = (replace(entry(again), is_returning=True),)
    assert not plan(again, held=held).slots["uid-again"].is_granted
    assert plan(again, held=held, returned=("again",)).slots["uid-again"].is_granted


def test_a_slot_whose_target_pod_appears_is_kept() -> None:
    late = under_way("late")
    held = (replace(entry(late), is_returning=True),)
    assert plan(late, held=held, returned=("late",)).entries == {"uid-late": entry(late)}


def test_up_to_the_inbound_limit_of_a_node_are_handed_off_to_it() -> None:
    coming = [under_way(f"u{number}", target_node="node09", age=9 - number) for number in range(3)]
    elsewhere = under_way("x", target_node="node08")
    decided = plan(*coming, elsewhere, held=tuple(map(entry, (*coming, elsewhere))))
    assert {name: slot.inbound_node for name, slot in decided.slots.items()} == {
        "uid-u0": "node09",
        "uid-u1": "node09",
        "uid-u2": "",
        "uid-x": "node08",
    }
    assert decided.slots["uid-u2"].is_granted
    assert "parallelInboundMigrationsPerNode of node09: 2, all taken" in decided.slots["uid-u2"].message


def test_a_slot_counts_on_the_node_that_it_was_given_for() -> None:
    """Who leaves that node cannot be told while the VMI is not in sight; nor could it when the ledger was made."""
    first, second = under_way("first", source="node01"), one("second", source="node01")
    unseen = replace(first, source_node="")
    outbound = replace(LIMITS, outbound_per_node=1)
    assert granted(plan(unseen, second, held=(entry(first),), limits=outbound)) == ["first"]
    assert granted(plan(first, second, held=(entry(unseen),), limits=outbound)) == ["first"]


def test_what_was_handed_off_counts_where_it_went_although_the_ledger_was_lost() -> None:
    away = [under_way(f"u{number}", target_node="node09", is_handed_off=True) for number in range(3)]
    decided = plan(*away, under_way("next", target_node="node09"))
    assert [decided.slots[f"uid-u{number}"].inbound_node for number in range(3)] == ["node09"] * 3
    assert decided.slots["uid-next"].inbound_node == ""


def test_a_place_on_the_target_node_is_free_when_its_migration_has_ended() -> None:
    gone, coming = under_way("gone", target_node="n"), under_way("coming", target_node="n")
    held = (entry(gone, target="n"), entry(coming))
    limits = replace(LIMITS, inbound_per_node=1)
    assert plan(gone, coming, held=held, limits=limits).slots["uid-coming"].inbound_node == ""
    assert plan(coming, held=held, ended=("gone",), limits=limits).slots["uid-coming"].inbound_node == "n"


def test_the_first_report_which_ones_they_wait_for() -> None:
    running = under_way("u")
    decided = plan(running, one("next"), held=(entry(running),), limits=replace(LIMITS, per_cluster=1))
    slot = decided.slots["uid-next"]
    assert slot.reason == "WaitingForSlot"
    assert slot.message == (
        "1st in the queue, behind migration default/u of VM vm-u "
        "(parallelMigrationsPerCluster of the cluster: 1, all taken)"
    )


def test_of_a_hundred_who_wait_few_are_updated_when_one_goes() -> None:
    waiting = many(100)
    running = [under_way(f"u{number}", age=200) for number in range(5)]
    held = tuple(entry(item, age=9 - number) for number, item in enumerate(running))
    before = plan(*running, *waiting, held=held).slots
    after = plan(*running[1:], *waiting, held=held, ended=("u0",)).slots
    changed = [uid for uid, slot in after.items() if before.get(uid) != slot]
    # One goes, nine are at the front, one more is among the first 10, 30 and 100 each.
    assert len(changed) <= 13


@pytest.mark.parametrize(
    ("position", "place"),
    [
        (1, "1st"),
        (4, "4th"),
        (9, "9th"),
        (10, "among the first 10"),
        (11, "among the first 30"),
        (2000, "beyond the first 1000"),
    ],
)
def test_places_in_the_queue(position: int, place: str) -> None:
    decided = plan(*many(position), limits=replace(LIMITS, per_cluster=0))
    assert decided.slots[f"uid-m{position - 1:03}"].message.startswith(f"{place} in the queue")


def test_limits_that_are_no_counts_have_no_effect() -> None:
    written = {"parallelMigrationsPerCluster": -1, "parallelOutboundMigrationsPerNode": "many"}
    assert parse_limits(written, {"parallelInboundMigrationsPerNode": True}) == MigrationLimits()
    assert parse_limits({"parallelMigrationsPerCluster": 0}, {}).per_cluster == 0
