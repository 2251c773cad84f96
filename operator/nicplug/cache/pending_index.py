"""The VMIs with NICs that are on their way, by node: only they wait for what happens to nodes and controllers."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nicplug.model.keys import VmiKey
from nicplug.model.operations import OperationPhase
from nicplug.model.vmi import VirtualMachineInstance


@dataclass(slots=True)
class PendingIndex:
    """A NIC is on its way while its record is there and not Ready; one that is Blocked or Failed waits most of all."""

    _node_of: dict[VmiKey, str] = field(default_factory=dict)
    _on: defaultdict[str, set[VmiKey]] = field(default_factory=lambda: defaultdict(set))

    def put(self, vmi: VirtualMachineInstance, rows: Iterable[Mapping[str, Any]]) -> None:
        """The VMI as it is now.

        Args:
            rows: its records; the VMI keeps its status as text, which is not worth reading again for this.
        """
        self.drop(vmi.key)
        if any(row.get("phase") != OperationPhase.READY for row in rows):
            self._node_of[vmi.key] = vmi.node_name
            self._on[vmi.node_name].add(vmi.key)

    def drop(self, key: VmiKey) -> None:
        """The VMI is gone, or waits no more."""
        node = self._node_of.pop(key, None)
        if node is None:
            return
        self._on[node].discard(key)
        if not self._on[node]:
            del self._on[node]

    def everywhere(self) -> list[VmiKey]:
        """All of them."""
        return list(self._node_of)

    def on(self, nodes: Iterable[str]) -> list[VmiKey]:
        """Those on one of these nodes."""
        return [key for node in nodes for key in sorted(self._on.get(node, ()))]
