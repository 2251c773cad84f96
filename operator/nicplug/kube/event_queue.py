"""The bounded queue of events that wait to be written: urgent ones first, and never dropped for the sake of others.

Knows nothing of what an event is or of how it is written.
"""

from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class EventQueue(Generic[T]):
    """Two lanes with one bound; the urgent lane is emptied first.

    Args:
        size: how many may wait, the one that is being written among them.
    """

    def __init__(self, *, size: int) -> None:
        self._size = size
        self._urgent: deque[T] = deque()
        self._others: deque[T] = deque()
        self._taken: tuple[T, bool] | None = None

    def __len__(self) -> int:
        return len(self._urgent) + len(self._others) + (self._taken is not None)

    def add(self, item: T, *, is_urgent: bool) -> T | None:
        """Let an item wait; the one that there is no room for, which may be the item itself.

        The newest of the others makes room for an urgent one: an older one is nearer to being written.
        """
        dropped = None
        if len(self) >= self._size:
            if not is_urgent or not self._others:
                return item
            dropped = self._others.pop()
        (self._urgent if is_urgent else self._others).append(item)
        return dropped

    def take(self) -> T | None:
        """The next item; the same again until `finish` or `put_back`: whoever took it may have been cancelled."""
        if self._taken is None:
            lane = self._urgent or self._others
            if not lane:
                return None
            self._taken = (lane.popleft(), lane is self._urgent)
        return self._taken[0]

    def finish(self) -> None:
        """The item that was taken needs nothing any more."""
        self._taken = None

    def put_back(self) -> None:
        """The item that was taken waits for another turn, behind the others of its lane."""
        if self._taken is not None:
            item, is_urgent = self._taken
            (self._urgent if is_urgent else self._others).append(item)
            self._taken = None

    def drain(self) -> list[tuple[T, bool]]:
        """Everything that still waits, and whether it is urgent; nothing waits after that."""
        left = [self._taken] if self._taken is not None else []
        left += [(item, True) for item in self._urgent] + [(item, False) for item in self._others]
        self._urgent, self._others, self._taken = deque(), deque(), None
        return left
