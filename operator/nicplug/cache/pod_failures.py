"""The newest failure of each launcher pod and of each of its interfaces, as the optional watch of events brings them.

Bounded by the pods that exist and by a few interfaces each; an event about a pod that is not a launcher of ours, or
that does not lie beside its pod, is dropped before its text is looked at. That an event is gone after an hour means
nothing: what matters is in the record.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from nicplug.cache.optional_watch import Absence
from nicplug.model.keys import PodKey
from nicplug.model.metadata import mapping, text
from nicplug.model.pod_failures import PodFailure, parse_pod_failure

# More secondary interfaces than a guest has PCI slots; the oldest failure makes room.
_INTERFACES_PER_POD = 64


@dataclass(slots=True)
class PodFailures:
    """Failures by pod uid and interface; a `Sink` of `OptionalWatch`.

    Attributes:
        is_ours: whether the pod of that name in that namespace is a launcher pod, and has that uid.
        on_change: told the uid of a pod that failed anew.
    """

    clock: Callable[[], datetime]
    is_ours: Callable[[PodKey, str], bool]
    on_change: Callable[[str], None] = lambda _uid: None
    _failures: dict[str, dict[str, PodFailure]] = field(default_factory=dict)

    def of(self, pod_uid: str) -> Mapping[str, PodFailure]:
        """The failures of a pod by interface."""
        return {name: failure for name, failure in self._failures.get(pod_uid, {}).items() if name}

    def to_start(self, pod_uid: str) -> PodFailure | None:
        """Why the pod could not start when that was last tried; None when nobody has said so."""
        return self._failures.get(pod_uid, {}).get("")

    def forget(self, pod_uid: str) -> None:
        """The pod is gone."""
        self._failures.pop(pod_uid, None)

    def project(self, item: Mapping[str, Any]) -> tuple[PodKey, PodFailure] | None:
        """An event of a list: nothing of one that is not about a launcher pod, which anybody may have written."""
        return self._read(item, is_new=False)

    def replace(self, items: Iterable[tuple[PodKey, PodFailure]]) -> None:
        """All events there are; what was heard before is known better."""
        for key, failure in items:
            # The pod may have gone since its page came, and nobody would forget it again.
            if self.is_ours(key, failure.pod_uid):
                self._put(failure)

    def change(self, type_: str, item: Mapping[str, Any]) -> None:
        """One line of the watch; MODIFIED: it has happened again."""
        if type_ != "DELETED" and (found := self._read(item, is_new=True)) is not None:
            self._put(found[1])

    def lose(self, absence: Absence) -> None:
        """Events must not be read: nothing new will be heard."""

    def _read(self, item: Mapping[str, Any], *, is_new: bool) -> tuple[PodKey, PodFailure] | None:
        """An event counts in the namespace of its pod alone: elsewhere it was written by somebody else's hand.

        The uid alone is no proof, as anyone who may look at a pod can copy it.
        """
        about, namespace = mapping(item.get("involvedObject")), text(mapping(item.get("metadata")).get("namespace"))
        if text(about.get("namespace")) != namespace:
            return None
        key = PodKey(namespace, text(about.get("name")))
        if not self.is_ours(key, text(about.get("uid"))):
            return None
        failure = parse_pod_failure(item, now=self.clock(), is_new=is_new)
        return (key, failure) if failure is not None else None

    def _put(self, failure: PodFailure) -> None:
        of_pod = self._failures.setdefault(failure.pod_uid, {})
        before = of_pod.get(failure.interface)
        if before is not None and before.heard_at >= failure.heard_at:
            return
        of_pod.pop(failure.interface, None)
        of_pod[failure.interface] = failure
        if len(of_pod) > _INTERFACES_PER_POD:
            del of_pod[next(iter(of_pod))]
        self.on_change(failure.pod_uid)
