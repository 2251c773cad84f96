"""Bounded queue of events to be written: urgent events first; they are never dropped in favor of others.

Knows nothing of the content of events or of how they are written.
"""

from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class EventQueue(Generic[T]):
    """Two lanes with one bound; the urgent lane is emptied first.

    Args:
        size: maximum number of items, including the one that is being written.
    """

    def __init__(self, *, size: int) -> None:
        self._size = size
        self._urgent: deque[T] = deque()
        self._others: deque[T] = deque()
        self._taken: tuple[T, bool] | None = None

    def __len__(self) -> int:
        return len(self._urgent) + len(self._others) + (self._taken is not None)

    def add(self, item: T, *, is_urgent: bool) -> T | None:
        """Enqueue an item; returns the item dropped because the queue is full, which may be `item` itself, or None.

        An urgent item displaces the newest of the others: older ones are closer to being written.
        """
        dropped = None
        if len(self) >= self._size:
            if not is_urgent or not self._others:
                return item
            dropped = self._others.pop()
        (self._urgent if is_urgent else self._others).append(item)
        return dropped

    def take(self) -> T | None:
        """Return the next item or None; the same one until `finish` or `put_back`, as its task may be cancelled."""
        if self._taken is None:
            lane = self._urgent or self._others
            if not lane:
                return None
            self._taken = (lane.popleft(), lane is self._urgent)
        return self._taken[0]

    def finish(self) -> None:
        """Remove the item that was taken."""
        self._taken = None

    def put_back(self) -> None:
        """Requeue the item that was taken, at the end of its lane."""
        if self._taken is not None:
            item, is_urgent = self._taken
            (self._urgent if is_urgent else self._others).append(item)
            self._taken = None

    def drain(self) -> list[tuple[T, bool]]:
        """Empty the queue; returns all remaining items, each with whether it is urgent."""
        left = [self._taken] if self._taken is not None else []
        left += [(item, True) for item in self._urgent] + [(item, False) for item in self._others]
        self._urgent, self._others, self._taken = deque(), deque(), None
        return left
