"""Cache of the last failure of each launcher pod and each of its interfaces, filled by an optional watch of events.

Bounded by the number of pods and by a few interfaces per pod. An event about a pod that is not a launcher pod, or that
is not in the pod's namespace, is dropped before its text is parsed. Events expire after an hour, which does not matter:
the record holds what is needed.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from nicplug.cache.optional_watch import Absence
from nicplug.model.keys import PodKey
from nicplug.model.metadata import mapping, text
from nicplug.model.pod_failures import PodFailure, parse_pod_failure

# More secondary interfaces than a guest has PCI slots; the oldest failure is dropped first.
_INTERFACES_PER_POD = 64


@dataclass(slots=True)
class PodFailures:
    """Failures by pod uid and interface; a `Sink` of `OptionalWatch`.

    Attributes:
        is_ours: True if the pod of that name is a launcher pod with that uid.
        on_change: called with the uid of a pod that has a new failure.
    """

    clock: Callable[[], datetime]
    is_ours: Callable[[PodKey, str], bool]
    on_change: Callable[[str], None] = lambda _uid: None
    _failures: dict[str, dict[str, PodFailure]] = field(default_factory=dict)

    def of(self, pod_uid: str) -> Mapping[str, PodFailure]:
        """Return the failures of a pod, by interface."""
        return {name: failure for name, failure in self._failures.get(pod_uid, {}).items() if name}

    def to_start(self, pod_uid: str) -> PodFailure | None:
        """Return why the pod could not start at its last attempt; None if no failure was reported."""
        return self._failures.get(pod_uid, {}).get("")

    def forget(self, pod_uid: str) -> None:
        """Remove a deleted pod."""
        self._failures.pop(pod_uid, None)

    def project(self, item: Mapping[str, Any]) -> tuple[PodKey, PodFailure] | None:
        """Parse an event from a LIST; None if it is not about a launcher pod: any user may have written it."""
        return self._read(item, is_new=False)

    def replace(self, items: Iterable[tuple[PodKey, PodFailure]]) -> None:
        """Merge the events of a LIST; failures already seen are more accurate."""
        for key, failure in items:
            # The pod may have been deleted since its page arrived; its failure would never be removed.
            if self.is_ours(key, failure.pod_uid):
                self._put(failure)

    def change(self, type_: str, item: Mapping[str, Any]) -> None:
        """Apply one watch event; MODIFIED means that the failure has occurred again."""
        if type_ != "DELETED" and (found := self._read(item, is_new=True)) is not None:
            self._put(found[1])

    def lose(self, absence: Absence) -> None:
        """Keep the known failures: permission to read events is missing, so no new ones arrive."""

    def _read(self, item: Mapping[str, Any], *, is_new: bool) -> tuple[PodKey, PodFailure] | None:
        """Parse an event if it is in the namespace of its pod: elsewhere, another user may have written it.

        The uid alone is no proof: any user who can read the pod can copy it.
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
