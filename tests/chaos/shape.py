"""How much of everything there is in a run of drills, and who is asked for what in which drill."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

IN_PLACE, BY_MIGRATION = 6, 4
"""NICs of a VM, by the path: a small guest has eight PCI slots for NICs, one of them taken at the start, and nicplug
spaces a VM's automatic migrations after four within ten minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How much.

    Attributes:
        vms: half of them on nodes with a dynamic networks controller, half on nodes without.
        hotplugs: over all drills.
        scale: of the times for which things go wrong.
        nodes: in each of the two halves.
    """

    vms: int = 100
    hotplugs: int = 500
    scale: float = 1.0
    nodes: int = 2

    @property
    def nodes_in_place(self) -> tuple[str, ...]:
        """Those with a controller."""
        return self.node_names[: self.nodes]

    @property
    def nodes_without(self) -> tuple[str, ...]:
        """Those whose VMs have to be migrated."""
        return self.node_names[self.nodes :]

    @property
    def node_names(self) -> tuple[str, ...]:
        """As the node simulator names them."""
        return tuple(f"node{number:02d}" for number in range(1, 2 * self.nodes + 1))

    def vm_names(self) -> tuple[str, ...]:
        """Every VM; those with an even place are in place."""
        return tuple(f"vm-{number:03d}" for number in range(self.vms))

    def nodes_of(self, vm: str) -> tuple[str, ...]:
        """Where a VM may run."""
        return self.nodes_in_place if self.vm_names().index(vm) % 2 == 0 else self.nodes_without


FULL = Shape()
QUICK = Shape(vms=14, hotplugs=52, scale=0.34)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """One NIC that somebody asks for.

    Attributes:
        moment: when, as a share of the time for which a drill lasts.
    """

    vm: str
    nic: str
    moment: float


def deal(shape: Shape, drills: Sequence[str], *, seed: int) -> dict[str, tuple[Wish, ...]]:
    """Who is asked for what in which drill: the same for a seed, whichever drills are run, both paths in each.

    Raises:
        ValueError: more hot-plugs than the VMs have room for.
    """
    randomness = random.Random(seed)
    deck = list(_deck(shape, randomness))[: shape.hotplugs]
    if shape.hotplugs > len(deck):
        raise ValueError(f"{shape.hotplugs} hot-plugs do not fit into {shape.vms} VMs: {len(deck)} do")
    dealt: dict[str, tuple[Wish, ...]] = {}
    for index, drill in enumerate(drills):
        begin, end = (shape.hotplugs * place // len(drills) for place in (index, index + 1))
        dealt[drill] = tuple(sorted(deck[begin:end], key=lambda wish: wish.moment))
    return dealt


def _deck(shape: Shape, randomness: random.Random) -> Iterator[Wish]:
    """Both halves evenly mixed, and no VM a second time before all others of its half have had their first."""
    halves = [
        [(vm, f"nic{number}") for number in range(most) for vm in _shuffled(shape.vm_names()[half::2], randomness)]
        for half, most in enumerate((IN_PLACE, BY_MIGRATION))
    ]
    placed = [(place / len(half), *one) for half in halves for place, one in enumerate(half)]
    for _, vm, nic in sorted(placed):
        yield Wish(vm=vm, nic=nic, moment=randomness.random())


def _shuffled(vms: Sequence[str], randomness: random.Random) -> list[str]:
    return randomness.sample(vms, len(vms))
