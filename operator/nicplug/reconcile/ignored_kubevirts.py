"""Reports the KubeVirt CRs that have no effect: in the log, once for each namespace; by event and status on each.

Bounded by rate alone: ever more of them, or one that is created again and again, neither fill the log nor keep another
one from being reported. What is held back is reported later, if it still exists.
"""

import time
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime

import structlog

from nicplug.cache.kubevirts import Kubevirts
from nicplug.kube.recorder import ObjectReference
from nicplug.model.kubevirt import KubevirtConfig
from nicplug.model.names import KUBEVIRT_API_VERSION
from nicplug.reconcile.announce import Recorder

log = structlog.get_logger(__name__)

REASON = "KubeVirtIgnored"
_MOST_A_MINUTE = 32
_LINES_OF_NAMESPACE, _EVENTS_OF_NAMESPACE = 1, 4
# For what has been reported of a namespace.
_REMEMBERED_SECONDS = 600.0
_MINUTE = 60.0
# A report looks at all of them, so it waits for others that come at the same time.
_SOON = 0.5
_FAR_FUTURE = datetime.max.replace(tzinfo=UTC)


def _never(_seconds: float, _call: Callable[[], None]) -> None:
    """Be the `later` of a report that nobody waits for."""


def _tell_nobody(_config: KubevirtConfig, _why: str) -> None:
    """Be the `tell` of a report that only logs and records."""


@dataclass(slots=True)
class _Reported:
    """What has been reported of what exists, and how much of late.

    Attributes:
        of_namespace: how many in `_REMEMBERED_SECONDS`, whether or not they still exist.
        holds: something has to wait for its report.
    """

    of_namespace: int
    holds: bool = False
    _names: set[str] = field(default_factory=set)
    _moments: dict[str, deque[float]] = field(default_factory=dict)
    _recent: deque[float] = field(default_factory=deque)

    def begin(self, existing: Collection[str], *, now: float) -> None:
        """Forget what is gone, and what is long ago."""
        self.holds = False
        self._names.intersection_update(existing)
        _drop_before(self._recent, now - _MINUTE)
        for moments in self._moments.values():
            _drop_before(moments, now - _REMEMBERED_SECONDS)
        self._moments = {namespace: moments for namespace, moments in self._moments.items() if moments}

    def is_due(self, name: str, *, namespace: str, now: float) -> bool:
        """It has not been reported, and its time has come; it counts as reported from now on."""
        if name in self._names:
            return False
        moments = self._moments.get(namespace) or deque()
        if len(self._recent) >= _MOST_A_MINUTE or len(moments) >= self.of_namespace:
            self.holds = True
            return False
        moments.append(now)
        self._moments[namespace] = moments
        self._recent.append(now)
        self._names.add(name)
        return True


@dataclass(slots=True)
class IgnoredKubevirts:
    """Says of each why it has no effect and what to do.

    Attributes:
        may_write: this replica leads: the others only log.
        tell: has the status of one say why.
        later: calls after so many seconds.
        clock: monotonic seconds.
    """

    kubevirts: Kubevirts
    recorder: Recorder
    may_write: Callable[[], bool]
    tell: Callable[[KubevirtConfig, str], None] = _tell_nobody
    later: Callable[[float, Callable[[], None]], object] = _never
    clock: Callable[[], float] = time.monotonic
    _logged: _Reported = field(default_factory=lambda: _Reported(_LINES_OF_NAMESPACE))
    _recorded: _Reported = field(default_factory=lambda: _Reported(_EVENTS_OF_NAMESPACE))
    _is_due_later: bool = False
    _is_due_soon: bool = False

    def report_soon(self) -> None:
        """Report once for all that are heard of meanwhile: anyone may make thousands, and each is an event."""
        if not self._is_due_soon:
            self._is_due_soon = True
            self.later(_SOON, self._report_now)

    def _report_now(self) -> None:
        self._is_due_soon = False
        self.report()

    def report(self) -> None:
        """Look for one that has not been reported yet, and look again if one has to wait."""
        now, all_ = self.clock(), self.kubevirts.ignored()
        self._logged.begin({item.key.namespace for item in all_}, now=now)
        self._recorded.begin({item.uid for item in all_}, now=now)
        # The oldest first: those that somebody makes without end come behind the one of an admin.
        for ignored in sorted(all_, key=lambda item: (item.created or _FAR_FUTURE, item.key)):
            self._report(ignored, now=now)
        if (self._logged.holds or self._recorded.holds) and not self._is_due_later:
            self._is_due_later = True
            self.later(_MINUTE, self._report_again)

    def _report_again(self) -> None:
        self._is_due_later = False
        self.report()

    def _report(self, ignored: KubevirtConfig, *, now: float) -> None:
        namespace, (why, remedy) = ignored.key.namespace, self._explain(ignored)
        if self._logged.is_due(namespace, namespace=namespace, now=now):
            counts = self.kubevirts.config()
            log.warning(
                "KubeVirt CR has no effect",
                kubevirt=str(ignored.key),
                counts=str(counts.key) if counts is not None else "",
                why=why,
                remedy=remedy,
            )
        if self.may_write() and self._recorded.is_due(ignored.uid, namespace=namespace, now=now):
            message = f"This KubeVirt CR has no effect: {why}. To resolve this, {remedy}."
            self.recorder.event(_reference(ignored), type="Warning", reason=REASON, message=message)
            self.tell(ignored, message)

    def _explain(self, ignored: KubevirtConfig) -> tuple[str, str]:
        """Why it has no effect, and what to do."""
        namespace, counts = self.kubevirts.namespace, self.kubevirts.config()
        if ignored.key.namespace == namespace and counts is not None:
            return f"{counts.key.name} in the same namespace is older and counts", "delete one of the two"
        return (
            f'nicplug reads the KubeVirt CR of namespace "{namespace}" (setting NICPLUG_KUBEVIRT_NAMESPACE)',
            "delete it if a tenant made it; if it is the cluster admin's, move its configuration there",
        )


def _drop_before(moments: deque[float], begin: float) -> None:
    while moments and moments[0] <= begin:
        moments.popleft()


def _reference(config: KubevirtConfig) -> ObjectReference:
    return ObjectReference(
        api_version=KUBEVIRT_API_VERSION,
        kind="KubeVirt",
        namespace=config.key.namespace,
        name=config.key.name,
        uid=config.uid,
    )
