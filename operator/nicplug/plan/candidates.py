"""The nodes that a VM could move to."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """The nodes that a VM could move to.

    Attributes:
        is_known: nodes can be read; otherwise the scheduler is asked by a target pod.
        nodes: names of those that fit.
        total: how many nodes there are.
        message: why the others do not, with numbers: "1 of 3 nodes runs the VM, 2 are cordoned".
    """

    is_known: bool = False
    nodes: frozenset[str] = frozenset()
    total: int = 0
    message: str = ""

    @property
    def is_impossible(self) -> bool:
        """No node can take the VM."""
        return self.is_known and not self.nodes
