"""How much of everything there is in a soak, and what it is about."""

from dataclasses import dataclass
from enum import StrEnum


class Scenario(StrEnum):
    """What a soak is about."""

    LIFE = "life"
    """The whole life of VMs, while operator and API server are killed and connections cut."""
    PATHS = "paths"
    """NICs in place and by migration, while dynamic networks controllers break and are mended."""
    COMPANION = "companion"
    """The same beside KubeVirt, whose virt-controller is killed as often as nicplug."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """How much of everything.

    Attributes:
        kills: of replicas of nicplug; beside KubeVirt virt-controller is killed as often again.
        controllers: how often a dynamic networks controller breaks, breaks otherwise, or is mended; only those of
            half of the nodes, and from the beginning.
    """

    scenario: Scenario = Scenario.LIFE
    operations: int = 300
    vms: int = 50
    kills: int = 20
    restarts: int = 2
    cuts: int = 20
    controllers: int = 0
    pause_seconds: float = 0.8
    rest_seconds: float = 60.0
    nodes: int = 3

    @property
    def node_names(self) -> tuple[str, ...]:
        """As the node simulator names them."""
        return tuple(f"node{number:02d}" for number in range(1, self.nodes + 1))

    @property
    def fragile_nodes(self) -> tuple[str, ...]:
        """The half of the nodes whose controllers break."""
        return self.node_names[: self.nodes // 2] if self.controllers else ()


SHAPES = {
    Scenario.LIFE: Shape(),
    Scenario.PATHS: Shape(scenario=Scenario.PATHS, operations=150, vms=20, restarts=0, cuts=0, controllers=30, nodes=4),
    Scenario.COMPANION: Shape(
        scenario=Scenario.COMPANION, operations=150, vms=20, kills=12, restarts=0, cuts=10, controllers=20, nodes=4
    ),
}
"""The soak of each scenario when nothing else is asked for."""
