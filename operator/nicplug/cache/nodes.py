"""Cache of the cluster's nodes, filled by an optional watch; fields that a heartbeat changes are not stored."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nicplug.cache.optional_watch import Absence
from nicplug.model.node import Node, parse_node


def ignore_change() -> None:
    """Ignore the change: the default `on_change`."""


@dataclass(slots=True)
class Nodes:
    """All nodes by name; a `Sink` of `OptionalWatch`.

    Attributes:
        on_change: called when a node was added, deleted or changed in a relevant field, or nodes have become
            unreadable.
    """

    on_change: Callable[[], None] = ignore_change
    _nodes: dict[str, Node] | None = None
    _all: tuple[Node, ...] | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self._nodes or {})

    def all(self) -> tuple[Node, ...] | None:
        """Return all nodes, sorted by name; None if nodes cannot be read."""
        if self._all is None and self._nodes is not None:
            self._all = tuple(self._nodes[name] for name in sorted(self._nodes))
        return self._all

    def get(self, name: str) -> Node | None:
        """Return the node of that name, or None if it is unknown."""
        return (self._nodes or {}).get(name)

    def project(self, item: Mapping[str, Any]) -> Node:
        """Parse a node from a LIST."""
        return parse_node(item)

    def replace(self, items: Iterable[Node]) -> None:
        """Replace all nodes after a LIST."""
        listed = {node.name: node for node in items}
        self._become(listed, changed=listed != self._nodes)

    def change(self, type_: str, item: Mapping[str, Any]) -> None:
        """Apply one watch event."""
        fresh, nodes = parse_node(item), dict(self._nodes or {})
        before = nodes.get(fresh.name)
        if type_ == "DELETED":
            # Not the DELETED event of a node whose name another has taken since.
            if before is not None and before.resource_version <= fresh.resource_version:
                del nodes[fresh.name]
                self._become(nodes, changed=True)
            return
        nodes[fresh.name] = fresh
        self._become(nodes, changed=before != fresh)

    def lose(self, absence: Absence) -> None:
        """Discard all nodes: permission to read them is missing."""
        self._become(None, changed=self._nodes is not None)

    def _become(self, nodes: dict[str, Node] | None, *, changed: bool) -> None:
        self._nodes = nodes
        if changed:
            self._all = None
            self.on_change()
