"""The newest failure of each launcher pod and of each of its interfaces, as the optional watch of events brings them.

Bounded by the pods that exist and by a few interfaces each; an event about a pod that is not a launcher
of ours is dropped. That an event is gone after an hour means nothing: what matters is in the record.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from nicplug.cache.optional_watch import Absence
from nicplug.model.pod_failures import PodFailure, parse_pod_failure

# More secondary interfaces than a guest has PCI slots; the oldest failure makes room.
_INTERFACES_PER_POD = 64


@dataclass(slots=True)
class PodFailures:
    """Failures by pod uid and interface; a `Sink` of `OptionalWatch`.

    Attributes:
        is_ours: whether a launcher pod of that uid is in the caches.
        on_change: told the uid of a pod that failed anew.
    """

    clock: Callable[[], datetime]
    is_ours: Callable[[str], bool]
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

    def _put(self, item: Mapping[str, Any], *, is_new: bool) -> None:
        failure = parse_pod_failure(item, now=self.clock(), is_new=is_new)
        if failure is None or not self.is_ours(failure.pod_uid):
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
