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

    def replace(self, items: Iterable[Mapping[str, Any]]) -> None:
        """All events there are; what was heard before is known better."""
        for item in items:
            self._put(item, is_new=False)

    def change(self, type_: str, item: Mapping[str, Any]) -> None:
        """One line of the watch; MODIFIED: it has happened again."""
        if type_ != "DELETED":
            self._put(item, is_new=True)

    def lose(self, absence: Absence) -> None:
        """Events must not be read: nothing new will be heard."""

    def _is_about_ours(self, item: Mapping[str, Any]) -> bool:
        """An event counts in the namespace of its pod alone: elsewhere it was written by somebody else's hand.

        The uid alone is no proof, as whoever may look at a pod can copy it.
        """
        about, namespace = mapping(item.get("involvedObject")), text(mapping(item.get("metadata")).get("namespace"))
        if text(about.get("namespace")) != namespace:
            return False
        return self.is_ours(PodKey(namespace, text(about.get("name"))), text(about.get("uid")))

    def _put(self, item: Mapping[str, Any], *, is_new: bool) -> None:
        if not self._is_about_ours(item):
            return
        failure = parse_pod_failure(item, now=self.clock(), is_new=is_new)
        if failure is None:
            return
        of_pod = self._failures.setdefault(failure.pod_uid, {})
        before = of_pod.get(failure.interface)
        if before is not None and before.heard_at >= failure.heard_at:
            return
        of_pod.pop(failure.interface, None)
        of_pod[failure.interface] = failure
        if len(of_pod) > _INTERFACES_PER_POD:
            del of_pod[next(iter(of_pod))]
        self.on_change(failure.pod_uid)
