"""The nodes of the cluster, as the optional watch brings them; what a heartbeat changes is not kept."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from nicplug.cache.optional_watch import Absence
from nicplug.model.node import Node, parse_node


def tell_nobody() -> None:
    """Be the `on_change` of a store that nobody listens to."""


@dataclass(slots=True)
class Nodes:
    """All nodes by name; a `Sink` of `OptionalWatch`.

    Attributes:
        on_change: told that a node came, went or changed in what counts, or that nodes can be read no more.
    """

    on_change: Callable[[], None] = tell_nobody
    _nodes: dict[str, Node] | None = None
    _all: tuple[Node, ...] | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self._nodes or {})

    def all(self) -> tuple[Node, ...] | None:
        """Every node there is, by name; None when they cannot be read."""
        if self._all is None and self._nodes is not None:
            self._all = tuple(self._nodes[name] for name in sorted(self._nodes))
        return self._all

    def get(self, name: str) -> Node | None:
        """The node of that name, when it is known."""
        return (self._nodes or {}).get(name)

    def project(self, item: Mapping[str, Any]) -> Node:
        """A node of a list."""
        return parse_node(item)

    def replace(self, items: Iterable[Node]) -> None:
        """All nodes there are."""
        listed = {node.name: node for node in items}
        self._become(listed, changed=listed != self._nodes)

    def change(self, type_: str, item: Mapping[str, Any]) -> None:
        """One line of the watch."""
        fresh, nodes = parse_node(item), dict(self._nodes or {})
        before = nodes.get(fresh.name)
        if type_ == "DELETED":
            # Not the DELETED line of a node whose name another has taken meanwhile.
            if before is not None and before.resource_version <= fresh.resource_version:
                del nodes[fresh.name]
                self._become(nodes, changed=True)
            return
        nodes[fresh.name] = fresh
        self._become(nodes, changed=before != fresh)

    def lose(self, absence: Absence) -> None:
        """Nodes must not be read."""
        self._become(None, changed=self._nodes is not None)

    def _become(self, nodes: dict[str, Node] | None, *, changed: bool) -> None:
        self._nodes = nodes
        if changed:
            self._all = None
            self.on_change()
