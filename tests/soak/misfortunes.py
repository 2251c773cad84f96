"""What goes wrong in a soak: a seed decides what, and how often is the shape's."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from tests.soak.shape import Scenario, Shape


class Misfortune(StrEnum):
    """What nobody does."""

    KILL_LEADER = "kill the leader"
    KILL_STANDBY = "kill the standby"
    KILL_VIRT_CONTROLLER = "kill virt-controller"
    CUT = "cut every connection"
    STALL = "stall every connection"
    APISERVER_KILL = "kill kube-apiserver"
    APISERVER_STOP = "stop kube-apiserver"
    BREAK_CONTROLLER = "break a dynamic networks controller"
    MEND_CONTROLLER = "mend a dynamic networks controller"


WAYS_TO_BREAK = ("absent", "broken=crash", "broken=unready", "broken=fails", "broken=silent", "slow=2s")
"""As the node simulator understands them (docs/node-simulator.md)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One misfortune.

    Attributes:
        node: whose controller it is about; "" for all others.
        how: in which way it breaks; "" when it is mended.
    """

    misfortune: Misfortune
    pause_seconds: float
    node: str = ""
    how: str = ""


def write_faults(shape: Shape, randomness: random.Random) -> Iterator[Fault]:
    """Everything that may happen at any moment, in any order."""
    half = shape.pause_seconds / 2
    for _ in range(shape.kills):
        leader = randomness.random() < 0.7
        yield _fault(Misfortune.KILL_LEADER if leader else Misfortune.KILL_STANDBY, randomness, half)
    for number in range(shape.restarts):
        yield _fault((Misfortune.APISERVER_KILL, Misfortune.APISERVER_STOP)[number % 2], randomness, half)
    for _ in range(shape.cuts):
        yield _fault(randomness.choice((Misfortune.CUT, Misfortune.CUT, Misfortune.STALL)), randomness, half)
    if shape.scenario is Scenario.COMPANION:
        for _ in range(shape.kills):
            yield _fault(Misfortune.KILL_VIRT_CONTROLLER, randomness, half)


def write_controller_faults(shape: Shape, randomness: random.Random) -> Iterator[Fault]:
    """What happens to controllers, in this order: half of the nodes begin without a working one."""
    if not shape.controllers:
        return
    for node in shape.fragile_nodes:
        yield _breakage(node, randomness, 0.0)
    broken = set(shape.fragile_nodes)
    for _ in range(shape.controllers - len(shape.fragile_nodes)):
        node = randomness.choice(shape.fragile_nodes)
        half = shape.pause_seconds / 2
        if node in broken and randomness.random() < _MENDED:
            broken.remove(node)
            pause = randomness.uniform(0, half)
            yield Fault(misfortune=Misfortune.MEND_CONTROLLER, pause_seconds=pause, node=node)
        else:
            broken.add(node)
            yield _breakage(node, randomness, half)


# The rest breaks in another way.
_MENDED = 0.7


def _breakage(node: str, randomness: random.Random, longest: float) -> Fault:
    return Fault(
        misfortune=Misfortune.BREAK_CONTROLLER,
        pause_seconds=randomness.uniform(0, longest),
        node=node,
        how=randomness.choice(WAYS_TO_BREAK),
    )


def _fault(misfortune: Misfortune, randomness: random.Random, longest: float) -> Fault:
    return Fault(misfortune=misfortune, pause_seconds=randomness.uniform(0, longest))
