"""A cache of the API whose caller delivers each event: in order, late, or never. Pure."""

from collections.abc import Callable

from nicplug_sandbox.kubevirt.objects import CREATED_BY, Json, labels_of, uid_of
from nicplug_sandbox.kubevirt.view import Key, key_of
from nicplug_sandbox.kubevirt.writes import Kind

Listener = Callable[[Kind, Json | None, Json | None], None]


class Informer:
    """The objects of all kinds according to the events; `listen` is called with each change, old and new."""

    def __init__(self, *, listen: Listener) -> None:
        self._objects: dict[Kind, dict[Key, Json]] = {}
        self._listen = listen

    def get(self, kind: Kind, key: Key) -> Json | None:
        """One object."""
        return self._objects.get(kind, {}).get(key)

    def all(self, kind: Kind) -> list[Json]:
        """Every object of a kind."""
        return list(self._objects.get(kind, {}).values())

    def launchers(self, uid: str) -> list[Json]:
        """The launcher pods of a VMI."""
        return [pod for pod in self.all("Pod") if labels_of(pod).get(CREATED_BY) == uid]

    def put(self, kind: Kind, obj: Json) -> None:
        """An object is new or has changed; what is older than what is known is ignored."""
        old = self.get(kind, key_of(obj))
        if old is not None and uid_of(old) != uid_of(obj):
            self.remove(kind, old)
            old = None
        if old is not None and _version(obj) <= _version(old):
            return
        self._objects.setdefault(kind, {})[key_of(obj)] = obj
        self._listen(kind, old, obj)

    def answer(self, kind: Kind, obj: Json) -> None:
        """Take in the answer to an own write; an object that is gone meanwhile is not brought back."""
        old = self.get(kind, key_of(obj))
        if old is not None and uid_of(old) == uid_of(obj):
            self.put(kind, obj)

    def remove(self, kind: Kind, obj: Json) -> None:
        """An object is gone; another one of its name stays."""
        old = self.get(kind, key_of(obj))
        if old is not None and uid_of(old) == uid_of(obj):
            del self._objects[kind][key_of(obj)]
            self._listen(kind, old, None)

    def replace(self, kind: Kind, objects: list[Json]) -> None:
        """A list: what is not in it is gone."""
        listed = {key_of(obj) for obj in objects}
        for old in self.all(kind):
            if key_of(old) not in listed:
                self.remove(kind, old)
        for obj in objects:
            self.put(kind, obj)


def _version(obj: Json) -> int:
    return int(obj["metadata"]["resourceVersion"])
