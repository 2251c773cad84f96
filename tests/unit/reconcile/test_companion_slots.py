"""Who may create a migration now, of the VMIs that need one."""

import itertools
from datetime import datetime

import pytest
from tests.build import NOW, Json, kubevirt, later, migration, owner, vmi

from nicplug.cache.caches import Caches
from nicplug.cache.kinds import CachedKind
from nicplug.model.keys import VmiKey
from nicplug.model.mode import Mode
from nicplug.reconcile.companion_slots import CompanionSlots


class Room:
    """A cluster with these limits, and the slots of its companion."""

    def __init__(self, *, per_cluster: int = 5, outbound: int = 2) -> None:
        self.caches = Caches(clock=lambda: NOW, mode=Mode.COMPANION)
        self.set_limits(per_cluster=per_cluster, outbound=outbound)
        self.woken: list[VmiKey] = []
        self.clock = NOW
        self.slots = CompanionSlots(self.caches, self.woken.append, lambda: self.clock)
        self._versions = itertools.count(100)

    def set_limits(self, *, per_cluster: int, outbound: int) -> None:
        raw = kubevirt()
        raw["spec"]["configuration"]["migrations"] = {
            "parallelMigrationsPerCluster": per_cluster,
            "parallelOutboundMigrationsPerNode": outbound,
        }
        raw["metadata"] |= {"resourceVersion": str(1000 + per_cluster), "generation": per_cluster}
        self.caches.observe(CachedKind.KUBEVIRT, raw)

    def vmi(self, name: str, *, namespace: str = "default", node: str = "") -> VmiKey:
        """One that runs, on a node of its own unless said otherwise."""
        raw = vmi(name=name, uid=f"{namespace}-{name}", node=node or f"node-{name}", namespace=namespace)
        self.caches.observe(CachedKind.VMI, raw)
        return VmiKey(namespace, name)

    def moves(self, key: VmiKey, phase: str = "Running", *, is_own: bool = True, since: float = 0.0) -> None:
        """Its migration is in this phase.

        Args:
            is_own: nicplug has created it.
            since: since when it is pending, in seconds from now.
        """
        meta: Json = {"namespace": key.namespace, "resourceVersion": str(next(self._versions))}
        times = [{"phase": phase, "phaseTransitionTimestamp": later(since).strftime("%Y-%m-%dT%H:%M:%SZ")}]
        if is_own:
            meta["annotations"] = {"nicplug.io/interfaces": "{}"}
            meta["ownerReferences"] = [owner("VirtualMachineInstance", key.name, f"{key.namespace}-{key.name}")]
        name = f"nicplug-{key.name}" if is_own else f"job-{key.name}"
        status = {"phaseTransitionTimestamps": times}
        raw = migration(phase, name=name, uid=f"{name}-{key}", vmi_name=key.name, status=status, **meta)
        self.caches.observe(CachedKind.MIGRATION, raw)

    def wait(self, *keys: VmiKey, since: datetime = NOW) -> None:
        for key in keys:
            self.slots.wait(key, since=since)

    def may(self, *keys: VmiKey) -> list[VmiKey]:
        """Those that may create one now."""
        return [key for key in keys if self.slots.share_of(key).is_free]

    def offered(self) -> list[VmiKey]:
        """Who is woken."""
        self.woken.clear()
        self.slots.offer()
        return list(self.woken)

    def create(self, key: VmiKey) -> None:
        """A pass of it creates its migration."""
        assert self.slots.share_of(key).is_free
        self.slots.take(key)
        self.moves(key, "")
        self.slots.release(key)


def test_a_free_slot() -> None:
    room = Room()
    share = room.slots.share_of(room.vmi("a"))
    assert (share.is_free, share.blocked_by) == (True, "")


def test_the_limit_of_the_cluster() -> None:
    room = Room(per_cluster=2)
    for name in ("a", "b"):
        room.moves(room.vmi(name))
    share = room.slots.share_of(room.vmi("c"))
    assert (share.is_free, share.blocked_by) == (False, "parallelMigrationsPerCluster is 2")


def test_the_limit_of_a_node() -> None:
    room = Room(outbound=1)
    room.moves(room.vmi("a", node="node01"))
    share = room.slots.share_of(room.vmi("b", node="node01"))
    assert (share.is_free, share.blocked_by) == (False, "parallelOutboundMigrationsPerNode of node01 is 1")
    assert room.slots.share_of(room.vmi("c", node="node02")).is_free


@pytest.mark.parametrize("phase", ["", "Pending", "Scheduling", "Running"])
def test_its_own_counts_until_it_has_ended(phase: str) -> None:
    room = Room(per_cluster=1)
    first, second = room.vmi("a"), room.vmi("b")
    room.moves(first, phase)
    assert room.may(second) == []
    room.moves(first, "Failed")
    assert room.may(second) == [second]


@pytest.mark.parametrize(
    ("phase", "counts"),
    [("", False), ("Pending", False), ("WaitingForSync", False), ("Scheduling", True), ("Running", True)],
)
def test_anothers_counts_as_in_kubevirt(phase: str, *, counts: bool) -> None:
    """Five of people's that wait would otherwise stop nicplug in the whole cluster."""
    room = Room(per_cluster=1)
    first, second = room.vmi("a"), room.vmi("b")
    room.moves(first, phase, is_own=False)
    assert room.may(second) == ([] if counts else [second])


def test_its_own_that_does_not_begin_counts_for_a_while() -> None:
    room = Room(per_cluster=2)
    for name in ("a", "b"):
        room.moves(room.vmi(name), "Pending", since={"a": -10, "b": -20}[name])
    third = room.vmi("c")
    share = room.slots.share_of(third)
    lapses_at = later(10).replace(microsecond=0)
    assert (share.is_free, share.again_at) == (False, lapses_at), "no event tells that b counts no longer"
    room.clock = later(9)
    assert room.may(third) == []
    room.clock = later(10)
    assert room.may(third) == [third]


def test_one_that_virt_controller_has_not_accepted_goes_on_counting() -> None:
    """virt-controller does nothing: another migration would wait as well."""
    room = Room(per_cluster=1)
    room.moves(room.vmi("a"), "")
    room.clock = later(3600)
    share = room.slots.share_of(room.vmi("b"))
    assert (share.is_free, share.again_at) == (False, None)


def test_one_that_is_being_created_counts() -> None:
    room = Room(per_cluster=2)
    a, b, c = map(room.vmi, "abc")
    room.slots.take(a)
    assert room.may(b) == [b]
    room.slots.take(b)
    assert room.may(c) == []
    room.moves(a, "")
    assert room.may(c) == [], "cached, and still being created: it counts once"
    room.slots.release(a)
    room.slots.release(b)
    assert room.may(c) == [c], "the creation of b has failed"


def test_a_hundred_vmis_and_five_slots() -> None:
    """Passes of all of them run at the same time; a slot is taken before the next one asks."""
    room = Room()
    keys = [room.vmi(f"vm{number:03}", namespace=f"ns{number % 3}") for number in range(100)]
    going: list[VmiKey] = []
    for key in keys:
        if room.slots.share_of(key).is_free:
            room.slots.take(key)
            going.append(key)
        else:
            room.wait(key)
    assert len(going) == 5
    done: list[VmiKey] = []
    while going:
        for key in going:
            room.moves(key, "")
            room.slots.release(key)
        room.moves(going[0], "Succeeded")
        done.append(going.pop(0))
        for key in room.offered():
            assert room.slots.share_of(key).is_free
            room.slots.take(key)
            going.append(key)
        assert len(going) <= 5
    assert sorted(done) == sorted(keys)


def test_the_oldest_is_next() -> None:
    room = Room(per_cluster=1)
    a, b, c = map(room.vmi, "abc")
    room.moves(room.vmi("x"))
    room.wait(a, since=later(-1))
    room.wait(b, since=later(-3))
    room.wait(c, since=later(-2))
    assert room.offered() == []
    room.moves(VmiKey("default", "x"), "Succeeded")
    assert room.offered() == [b]
    assert room.may(a, b, c) == [b]


def test_the_namespace_with_the_fewest_migrations_is_next() -> None:
    room = Room(per_cluster=3)
    room.moves(room.vmi("x", namespace="many"))
    many = [room.vmi(f"m{number}", namespace="many") for number in range(3)]
    few = room.vmi("f", namespace="few")
    room.wait(*many, since=later(-100))
    room.wait(few, since=later(-1))
    assert room.offered() == [few, many[0]]


def test_slots_that_become_free_together_are_shared_among_namespaces() -> None:
    room = Room(per_cluster=4)
    many = [room.vmi(f"m{number}", namespace="many") for number in range(6)]
    few = [room.vmi(f"f{number}", namespace="few") for number in range(2)]
    room.wait(*many, since=later(-100))
    room.wait(*few, since=later(-1))
    assert room.offered() == [many[0], few[0], many[1], few[1]]


def test_a_node_at_its_limit_does_not_hold_up_others() -> None:
    room = Room(outbound=1)
    room.moves(room.vmi("x", node="node01"))
    stuck, other = room.vmi("a", node="node01"), room.vmi("b", node="node02")
    room.wait(stuck, since=later(-100))
    room.wait(other, since=later(-1))
    assert room.offered() == [other]


def test_a_newcomer_takes_no_slot_that_somebody_waits_for() -> None:
    room = Room(per_cluster=2)
    a, b, new = map(room.vmi, "abn")
    room.wait(a, b)
    assert room.may(new) == []
    assert room.slots.share_of(new).blocked_by == "others wait before this VM"
    room.slots.wait(b, since=None)
    assert room.may(new) == [new]


def test_a_newcomer_takes_no_slot_of_its_node_that_somebody_waits_for() -> None:
    room = Room(per_cluster=5, outbound=1)
    first, new = room.vmi("a", node="node01"), room.vmi("b", node="node01")
    room.wait(first)
    assert room.may(new) == []
    assert room.may(first) == [first]


def test_one_that_needs_none_any_more_lets_the_next_go() -> None:
    room = Room(per_cluster=1)
    a, b = map(room.vmi, "ab")
    room.wait(a, since=later(-2))
    room.wait(b, since=later(-1))
    assert room.offered() == [a]
    room.slots.wait(a, since=None)
    assert room.offered() == [b]


def test_a_limit_that_is_raised_lets_more_go() -> None:
    room = Room(per_cluster=1)
    keys = [room.vmi(name) for name in "abc"]
    room.wait(*keys)
    assert room.offered() == keys[:1]
    room.set_limits(per_cluster=2, outbound=2)
    assert room.offered() == keys[:2]


def test_a_vmi_that_is_gone_frees_its_slot_with_its_migration() -> None:
    room = Room(per_cluster=1)
    a, b = map(room.vmi, "ab")
    room.create(a)
    room.wait(b)
    room.caches.forget(CachedKind.VMI, vmi(name="a", uid="default-a"))
    assert room.offered() == []
    room.moves(a, "Failed")
    assert room.offered() == [b]
