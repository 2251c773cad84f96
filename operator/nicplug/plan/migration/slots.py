"""Migration slots: which migrations may start now, in which order, and what the others wait for.

A slot counts once it is in the ledger, a ConfigMap that `reconcile.slots` writes. Limits are those of the cluster and
of the source node; that of the target node is checked at the hand-off.
"""

import heapq
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from nicplug.model.keys import VmiKey
from nicplug.model.metadata import text
from nicplug.model.migration import FOREIGN_MIGRATION_PHASES, Migration
from nicplug.model.migration_configuration import CLUSTER_LIMIT, INBOUND_LIMIT, OUTBOUND_LIMIT, MigrationLimits
from nicplug.model.slot_ledger import FAR_FUTURE, Contender, Entries, MigrationSlot, SlotEntry
from nicplug.plan.migration.facts import gather_migration_facts
from nicplug.plan.outcome import Plan
from nicplug.plan.reasons import Reason
from nicplug.plan.views import MigrationView

# Order: by priority, then round-robin over namespaces, then by age. By age alone, a tenant who changes N VMs would put
# N migrations in front of all others (kubevirt#13497).


def grant_in_turn(
    waiting: Iterable[Contender],
    *,
    under_way: Mapping[str, int],
    goes: Callable[[Contender], bool] = lambda _: True,
) -> list[Contender]:
    """Grant slots in turn; each migration is tried once.

    At equal priority the namespace with the fewest migrations under way has the next turn, with its oldest migration;
    of several such namespaces, the one whose migration is the oldest. One that cannot start does not block those behind
    it, and uses no turn of its namespace.

    Args:
        under_way: number of running migrations of each namespace, of all priorities.
        goes: true if a migration starts now; it then counts as running for those that follow.

    Returns:
        The migrations that start, in order.
    """
    counts: defaultdict[str, int] = defaultdict(int, under_way)
    lines: defaultdict[int, defaultdict[str, list[Contender]]] = defaultdict(lambda: defaultdict(list))
    for item in sorted(waiting, key=lambda item: item.age_rank, reverse=True):
        lines[item.priority][item.key.namespace].append(item)
    gone: list[Contender] = []
    for priority in sorted(lines, reverse=True):
        _grant_one_priority(lines[priority], counts, goes, gone)
    return gone


def _grant_one_priority(
    lines: Mapping[str, list[Contender]],
    counts: defaultdict[str, int],
    goes: Callable[[Contender], bool],
    gone: list[Contender],
) -> None:
    """Each migration enters the heap once: n log n, however many namespaces there are.

    Args:
        lines: of each namespace, the oldest last.
    """

    def next_of(namespace: str) -> tuple[int, tuple[datetime, str], str]:
        return (counts[namespace], lines[namespace][-1].age_rank, namespace)

    heads = [next_of(namespace) for namespace in lines]
    heapq.heapify(heads)
    while heads:
        _, _, namespace = heapq.heappop(heads)
        item = lines[namespace].pop()
        if goes(item):
            counts[namespace] += 1
            gone.append(item)
        if lines[namespace]:
            heapq.heappush(heads, next_of(namespace))


# The limits are counted here and nowhere else.
#
# A slot is taken from before the target pod is created until the migration has ended, and is written to the ledger
# before it is used: of two leaders at a time one writes, the other has to read again. The limit of the target node
# counts from the hand-off, since only the scheduler knows that node.
#
# A migration under way counts even if the ledger does not list it; an entry of the ledger counts even if its migration
# is not visible.
#
# A slot that cannot be used after all (a quota, a stopped VM) is returned in two steps: first the ledger marks it as
# unusable; it is free once every leader that read the ledger before has had time to act.

# Source: KubeVirt 1.9 `pkg/util/migrations/migrations.go`.
_PRIORITIES = {"system-critical": 100, "user-triggered": 50, "system-maintenance": 20}
_ORDINALS = {1: "1st", 2: "2nd", 3: "3rd"}
# Positions further back are reported as a range: an end must not cause a write to every waiting migration.
_RANGES = (10, 30, 100, 300, 1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationPlan(Plan):
    """The plan of one migration.

    Attributes:
        wants_slot: nothing but the limits keeps it from having a target pod.
    """

    wants_slot: bool = False


def priority_of(migration: Migration) -> int:
    """Priority from `spec.priority`; higher goes first."""
    return _PRIORITIES.get(text(migration.read_spec().get("priority")), 0)


def contender_of(view: MigrationView, *, plan: MigrationPlan) -> Contender | None:
    """The slots that it needs and holds; None if it has ended, or is another controller's."""
    migration = view.migration
    if migration.is_final or migration.phase in FOREIGN_MIGRATION_PHASES:
        return None
    facts = gather_migration_facts(view)
    state, vmi, pod = facts.state, facts.vmi, facts.target
    # A state with our uid that names other pods is forged, and gives no slot.
    is_handed_off = migration.is_handed_off or (facts.is_handed_off and state.is_active)
    holds = is_handed_off or migration.has_target or pod is not None
    if is_handed_off and facts.is_ours:
        source, target = state.source_node, state.target_node
    else:
        source, target = (vmi.node_name if vmi is not None else ""), (pod.node_name if pod is not None else "")
    return Contender(
        key=migration.key,
        uid=migration.uid,
        vmi=migration.vmi,
        created=migration.created,
        priority=priority_of(migration),
        source_node=source,
        target_node=target,
        holds=holds,
        is_handed_off=is_handed_off,
        wants=not holds and plan.wants_slot,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotsView:
    """Input of the planner.

    Attributes:
        entries: entries of the ledger.
        ended: uids of those of its migrations that are known to have ended or to be gone.
        returned: uids of those whose return has lasted long enough (`model.slot_ledger.RETURN_SECONDS`).
        contenders: every migration that has not ended.
    """

    entries: Entries
    ended: frozenset[str]
    contenders: tuple[Contender, ...]
    limits: MigrationLimits
    returned: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotsPlan:
    """New ledger, and its effect on each migration once written."""

    entries: Entries
    slots: Mapping[str, MigrationSlot]


def plan_slots(view: SlotsView, *, now: datetime) -> SlotsPlan:
    """Release, recover and grant slots; the time is only recorded."""
    count = _Count(view.limits)
    for entry in _held(view):
        count.add(entry)
    slots: dict[str, MigrationSlot] = {}
    arriving: Counter[str] = Counter()
    for contender in sorted(view.contenders, key=lambda item: (-item.priority, item.age_rank)):
        if contender.uid in count.entries:
            is_returning = count.entries[contender.uid].is_returning
            slots[contender.uid] = MigrationSlot() if is_returning else _arrive(contender, count, arriving)
    _grant(view, count, slots, now=now)
    return SlotsPlan(entries=count.entries, slots=slots)


def _grant(view: SlotsView, count: "_Count", slots: dict[str, MigrationSlot], *, now: datetime) -> None:
    """Grant free slots in turn; report position and cause to the others."""
    causes: dict[str, _Cause] = {}

    def goes(contender: Contender) -> bool:
        if (cause := count.full_for(contender)) is not None:
            causes[contender.uid] = cause
            return False
        count.add(_entry_of(contender, granted_at=now))
        slots[contender.uid] = MigrationSlot(is_granted=True)
        return True

    waiting = [item for item in view.contenders if item.wants and item.uid not in count.entries]
    grant_in_turn(waiting, under_way=namespaces_of(count.entries), goes=goes)
    left = [item for item in waiting if item.uid in causes]
    for position, item in enumerate(grant_in_turn(left, under_way=namespaces_of(count.entries)), start=1):
        slots[item.uid] = _waiting(position, causes[item.uid])


def namespaces_of(entries: Entries) -> Counter[str]:
    """Count the slots that each namespace holds."""
    return Counter(entry.migration.namespace for entry in entries.values())


def _held(view: SlotsView) -> Iterable[SlotEntry]:
    """Slots of the ledger that are still in use, and migrations under way without one."""
    contenders = {item.uid: item for item in view.contenders}
    for uid, entry in view.entries.items():
        contender = contenders.get(uid)
        if uid in view.ended or (uid in view.returned and entry.is_returning and not (contender and contender.holds)):
            continue
        yield _corrected(entry, contender) if contender is not None else entry
    for contender in view.contenders:
        if contender.holds and contender.uid not in view.entries:
            yield _corrected(_entry_of(contender, granted_at=None), contender)


def _entry_of(contender: Contender, *, granted_at: datetime | None) -> SlotEntry:
    return SlotEntry(
        migration=contender.key,
        uid=contender.uid,
        vmi=contender.vmi,
        source_node=contender.source_node,
        granted_at=granted_at,
    )


def _corrected(entry: SlotEntry, contender: Contender) -> SlotEntry:
    """Correct an entry: the target node of a hand-off is the node agents'; an unusable slot is returned."""
    target = contender.target_node if contender.is_handed_off and contender.target_node else entry.target_node
    return replace(
        entry,
        migration=contender.key,
        vmi=contender.vmi,
        source_node=entry.source_node or contender.source_node,
        target_node=target,
        is_returning=not contender.holds and (entry.is_returning or not contender.wants),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Cause:
    """Why a migration waits: which limit, and the migrations that use it up, longest first."""

    limit: str
    allowed: int
    where: str
    taken_by: tuple[SlotEntry, ...]


class _Count:
    """Count of slots by holder."""

    def __init__(self, limits: MigrationLimits) -> None:
        self._limits = limits
        self.entries: dict[str, SlotEntry] = {}
        self._outbound: Counter[str] = Counter()
        self._inbound: Counter[str] = Counter()
        self._vmis: dict[VmiKey, SlotEntry] = {}
        self._causes: dict[tuple[str, str], _Cause] = {}

    def add(self, entry: SlotEntry) -> None:
        self._causes.clear()
        self.entries[entry.uid] = entry
        self._vmis[entry.vmi] = entry
        if entry.source_node:
            self._outbound[entry.source_node] += 1
        if entry.target_node:
            self._inbound[entry.target_node] += 1

    def full_for(self, contender: Contender) -> _Cause | None:
        """Find the limit that keeps it from getting a slot."""
        limits, node = self._limits, contender.source_node
        # First, as it lasts when all holders of slots have ended. A target pod that no node admits would hold one.
        for limit, allowed in (
            (CLUSTER_LIMIT, limits.per_cluster),
            (OUTBOUND_LIMIT, limits.outbound_per_node),
            (INBOUND_LIMIT, limits.inbound_per_node),
        ):
            if allowed == 0:
                return self._cause(limit, allowed, "", ())
        if (same := self._vmis.get(contender.vmi)) is not None:
            return _Cause(limit="", allowed=1, where=f"VM {contender.vmi.name}", taken_by=(same,))
        if len(self.entries) >= limits.per_cluster:
            return self._cause(CLUSTER_LIMIT, limits.per_cluster, "", self.entries.values())
        if self._outbound[node] >= limits.outbound_per_node:
            leaving = (entry for entry in self.entries.values() if entry.source_node == node)
            return self._cause(OUTBOUND_LIMIT, limits.outbound_per_node, node, leaving)
        return None

    def _cause(self, limit: str, allowed: int, node: str, taken_by: Iterable[SlotEntry]) -> _Cause:
        """The cause, computed once for all waiting migrations."""
        known = self._causes.get((limit, node))
        if known is None:
            longest = tuple(sorted(taken_by, key=lambda entry: (entry.granted_at or FAR_FUTURE, entry.uid)))
            known = _Cause(limit=limit, allowed=allowed, where=node or "the cluster", taken_by=longest)
            self._causes[limit, node] = known
        return known

    def admit(self, contender: Contender) -> _Cause | None:
        """Admit it to the target node, or return the cause why not."""
        entry, node, allowed = self.entries[contender.uid], contender.target_node, self._limits.inbound_per_node
        if not node or entry.target_node == node:
            return None
        if self._inbound[node] >= allowed:
            coming = (item for item in self.entries.values() if item.target_node == node)
            return self._cause(INBOUND_LIMIT, allowed, node, coming)
        if entry.target_node:
            self._inbound[entry.target_node] -= 1
        self._inbound[node] += 1
        self._causes.clear()
        self.entries[contender.uid] = replace(entry, target_node=node)
        return None


def _arrive(contender: Contender, count: _Count, arriving: Counter[str]) -> MigrationSlot:
    cause = count.admit(contender)
    inbound = count.entries[contender.uid].target_node
    if cause is None:
        return MigrationSlot(is_granted=True, inbound_node=inbound)
    arriving[contender.target_node] += 1
    return replace(_waiting(arriving[contender.target_node], cause), is_granted=True, inbound_node=inbound)


def _waiting(position: int, cause: _Cause) -> MigrationSlot:
    return MigrationSlot(
        reason=Reason.WAITING_FOR_SLOT, message=f"{_place(position)} in the queue{_why(position, cause)}"
    )


def _place(position: int) -> str:
    if position < _RANGES[0]:
        return _ORDINALS.get(position, f"{position}th")
    bound = next((bound for bound in _RANGES if position <= bound), None)
    return f"among the first {bound}" if bound is not None else f"beyond the first {_RANGES[-1]}"


def _why(position: int, cause: _Cause) -> str:
    """Name a migration only to those at the front: else all others would be written to whenever one ends."""
    if cause.allowed == 0:
        return f": {cause.limit} is 0, which lets no migration begin"
    limit = f" ({cause.limit} of {cause.where}: {cause.allowed}, all taken)" if cause.limit else ""
    if position not in _ORDINALS:
        return limit
    first = cause.taken_by[0]
    return f", behind migration {first.migration} of VM {first.vmi.name}{limit}"
