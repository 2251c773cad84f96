"""Whose turn it is to have a large object in memory: one key at a time, and fair between namespaces.

A key that has to wait gives up its worker at once, or sixteen large VMs of one tenant would keep everybody waiting
(docs/adr/0018). It is looked at again when its turn has come.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from nicplug.model.keys import WorkKey


class TurnTaken(Exception):
    """Another key has its turn; the one that asked is on the list and will be handed out again."""


@dataclass(slots=True)
class LargeTurns:
    """The turn, and who waits for it.

    Attributes:
        on_turn: told the key whose turn has come. It keeps the turn until `leave`, so it must be looked at.
    """

    on_turn: Callable[[WorkKey], None]
    _holder: WorkKey | None = None
    _waiting: OrderedDict[str, OrderedDict[WorkKey, None]] = field(default_factory=OrderedDict)

    def take(self, key: WorkKey) -> None:
        """Begin or go on with something large; the turn lasts until `leave`.

        Raises:
            TurnTaken: not now.
        """
        # With no holder nobody waits either: the one that leaves passes the turn on.
        if self._holder is None:
            self._holder = key
        if self._holder != key:
            self._waiting.setdefault(key.namespace, OrderedDict())[key] = None
            raise TurnTaken(f"{key} waits for its turn to have a large object in memory")

    def leave(self, key: WorkKey) -> None:
        """A pass over the key has ended, and it does not wait for its turn."""
        namespace = key.namespace
        if (waiting := self._waiting.get(namespace)) is not None:
            waiting.pop(key, None)
            if not waiting:
                del self._waiting[namespace]
        if self._holder == key:
            self._pass_on(namespace)

    def waiting(self) -> int:
        """Keys that wait for their turn."""
        return sum(map(len, self._waiting.values()))

    def _pass_on(self, last: str) -> None:
        """One key of each namespace in its order; never the last one's twice in a row while another waits."""
        self._holder = None
        if not self._waiting:
            return
        namespace = next((name for name in self._waiting if name != last), last)
        waiting = self._waiting.pop(namespace)
        key, _ = waiting.popitem(last=False)
        if waiting:
            self._waiting[namespace] = waiting
        self._holder = key
        self.on_turn(key)
