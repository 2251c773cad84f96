"""Index, by node, of the VMIs with pending NICs: only they depend on changes of nodes and controllers."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nicplug.model.keys import VmiKey
from nicplug.model.operations import OperationPhase
from nicplug.model.vmi import VirtualMachineInstance


@dataclass(slots=True)
class PendingIndex:
    """VMIs with pending NICs: NICs whose record is not Ready, in particular those that are Blocked or Failed."""

    _node_of: dict[VmiKey, str] = field(default_factory=dict)
    _on: defaultdict[str, set[VmiKey]] = field(default_factory=lambda: defaultdict(set))

    def put(self, vmi: VirtualMachineInstance, rows: Iterable[Mapping[str, Any]]) -> None:
        """Index the current state of a VMI.

        Args:
            rows: its records, passed because the VMI stores its status as text, which should not be parsed again.
        """
        self.drop(vmi.key)
        if any(row.get("phase") != OperationPhase.READY for row in rows):
            self._node_of[vmi.key] = vmi.node_name
            self._on[vmi.node_name].add(vmi.key)

    def drop(self, key: VmiKey) -> None:
        """Remove a VMI that was deleted or has no pending NICs."""
        node = self._node_of.pop(key, None)
        if node is None:
            return
        self._on[node].discard(key)
        if not self._on[node]:
            del self._on[node]

    def everywhere(self) -> list[VmiKey]:
        """Return all VMIs in the index."""
        return list(self._node_of)

    def on(self, nodes: Iterable[str]) -> list[VmiKey]:
        """Return the VMIs on one of these nodes."""
        return [key for node in nodes for key in sorted(self._on.get(node, ()))]
