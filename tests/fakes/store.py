"""What the fake keeps: objects, one counter of versions, and a bounded history for watches.

Knows nothing of HTTP. `commit` is the only place where something becomes true.
"""

import json
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from tests.fakes.kinds import Json, Kind
from tests.fakes.status import expired

EventType = Literal["ADDED", "MODIFIED", "DELETED"]
Key = tuple[str, str]  # namespace ("" when cluster-scoped), name


def as_text(body: Json) -> bytes:
    """An object as the API server writes it: members sorted, UTF-8."""
    return json.dumps(body, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode()


@dataclass(slots=True, eq=False)
class Stored:
    """One version of one object. Nobody changes `body`; `raw` is serialised once for all readers."""

    body: Json
    version: int
    _raw: bytes = b""

    @property
    def raw(self) -> bytes:
        """The object as JSON."""
        if not self._raw:
            self._raw = as_text(self.body)
        return self._raw

    def copy(self) -> Json:
        """The object, free to be changed."""
        copied: Json = json.loads(self.raw)
        return copied


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """One commit, as watches see it. `old` decides whether a selector's view gains or loses the object."""

    version: int
    type: EventType
    key: Key
    new: Stored
    old: Stored | None


Subscriber = Callable[[Change], None]


@dataclass(slots=True)
class _Collection:
    objects: dict[Key, Stored] = field(default_factory=dict)
    history: deque[Change] = field(default_factory=deque)
    subscribers: list[Subscriber] = field(default_factory=list)
    # Watches from before this version get 410.
    compacted: int = 0


class Store:
    """All objects of all kinds, by plural.

    `history` bounds the changes kept per kind: older ones are compacted, as etcd does in time.
    """

    def __init__(self, kinds: Iterable[Kind], *, history: int) -> None:
        self._collections = {kind.key: _Collection() for kind in kinds}
        self._history = history
        self.version = 1

    def get(self, kind: Kind, key: Key) -> Stored | None:
        """The latest version of an object."""
        return self._collections[kind.key].objects.get(key)

    def items(self, kind: Kind, *, namespace: str = "") -> list[tuple[Key, Stored]]:
        """Objects in the order of a LIST: by namespace, then name."""
        objects = self._collections[kind.key].objects
        found = ((key, stored) for key, stored in objects.items() if not namespace or key[0] == namespace)
        return sorted(found, key=lambda item: item[0])

    def everything(self) -> Iterator[tuple[str, Key, Stored]]:
        """Every object with the plural of its kind."""
        for plural, collection in self._collections.items():
            for key, stored in list(collection.objects.items()):
                yield plural, key, stored

    def commit(self, kind: Kind, key: Key, body: Json, *, removed: bool = False) -> Stored:
        """Make `body` the latest version, or the last one when `removed`; tell the watches."""
        collection = self._collections[kind.key]
        old = collection.objects.get(key)
        self.version += 1
        body["metadata"]["resourceVersion"] = str(self.version)
        new = Stored(body, self.version)
        if removed:
            del collection.objects[key]
        else:
            collection.objects[key] = new
        type_: EventType = "DELETED" if removed else "MODIFIED" if old else "ADDED"
        change = Change(self.version, type_, key, new, old)
        collection.history.append(change)
        if len(collection.history) > self._history:
            collection.compacted = collection.history.popleft().version
        for subscriber in collection.subscribers:
            subscriber(change)
        return new

    def since(self, kind: Kind, version: int) -> list[Change]:
        """Changes after `version`.

        Raises:
            ApiFailure: 410, some of them are no longer known.
        """
        collection = self._collections[kind.key]
        if version < collection.compacted:
            raise expired(f"too old resource version: {version} ({collection.compacted})")
        changes = list(collection.history)
        return changes[bisect_right(changes, version, key=lambda change: change.version) :]

    def subscribe(self, kind: Kind, subscriber: Subscriber) -> Callable[[], None]:
        """Call `subscriber` at each commit of that kind; returns what ends it."""
        subscribers = self._collections[kind.key].subscribers
        subscribers.append(subscriber)
        return lambda: subscribers.remove(subscriber)

    def compact(self) -> None:
        """Forget all history, so that only watches from the current version on can start."""
        for collection in self._collections.values():
            collection.history.clear()
            collection.compacted = self.version
