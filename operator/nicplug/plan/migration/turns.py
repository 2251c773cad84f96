"""In which order migrations go: by priority, then round the namespaces, then by age.

By age alone, one tenant who changes N VMs would put N migrations in front of everybody else's (kubevirt#13497).
"""

import heapq
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

_FAR_FUTURE = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """A migration that waits for a slot.

    Attributes:
        priority: the higher goes first.
    """

    uid: str
    namespace: str
    priority: int
    created: datetime | None

    @property
    def age_rank(self) -> tuple[datetime, str]:
        """The oldest first; of one moment, all replicas agree on an order."""
        return (self.created or _FAR_FUTURE, self.uid)


def take_turns(
    waiting: Iterable[Waiting], *, under_way: Mapping[str, int], goes: Callable[[Waiting], bool] = lambda _: True
) -> list[Waiting]:
    """Ask each migration once, in the order of its turn.

    At equal priority the namespace with the fewest migrations under way has the next turn, with its oldest migration;
    of several such namespaces, the one whose migration is the oldest. One that cannot go keeps nobody behind it
    waiting, and costs its namespace no turn.

    Args:
        under_way: how many migrations of each namespace are under way, of all priorities.
        goes: whether a migration goes now; each that does counts as under way for those that follow.

    Returns:
        Those that go, in their order.
    """
    counts: defaultdict[str, int] = defaultdict(int, under_way)
    lines: defaultdict[int, defaultdict[str, list[Waiting]]] = defaultdict(lambda: defaultdict(list))
    for item in sorted(waiting, key=lambda item: item.age_rank, reverse=True):
        lines[item.priority][item.namespace].append(item)
    gone: list[Waiting] = []
    for priority in sorted(lines, reverse=True):
        _take_turns_of_one_priority(lines[priority], counts, goes, gone)
    return gone


def _take_turns_of_one_priority(
    lines: Mapping[str, list[Waiting]],
    counts: defaultdict[str, int],
    goes: Callable[[Waiting], bool],
    gone: list[Waiting],
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
