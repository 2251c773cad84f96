"""Tracks which watches work and why others do not; logs each change once, however often the watch is retried.

Knows nothing of HTTP or Kopf; `kube.watch_session` reports what it sees.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

import structlog

from nicplug.kube.errors import CREDENTIALS_REMEDY, RIGHTS_REMEDY

log = structlog.get_logger(__name__)

# Shorter interruptions need no attention: a cut watch, an API server that has just started and denies everything.
_GRACE_SECONDS = 2.0


class Trouble(Enum):
    """The problem of a watch; the value is its remedy."""

    UNREACHABLE = "Nothing to do here: it is tried until the API server answers."
    DENIED = RIGHTS_REMEDY
    UNAUTHORIZED = CREDENTIALS_REMEDY
    NOT_SERVED = "Install the CRDs: kubectl apply -f crds/"
    SLOW_DOWN = "Nothing to do here: the API server asks to wait."
    SERVER_ERROR = "Look into the log of the API server if it lasts."


# Logged once for all watches: the API server itself is the problem, whatever was requested.
_COMMON = frozenset({Trouble.UNREACHABLE, Trouble.UNAUTHORIZED, Trouble.SLOW_DOWN, Trouble.SERVER_ERROR})


@dataclass(slots=True)
class _Broken:
    trouble: Trouble
    message: str
    since: float
    changed_at: float
    is_logged: bool = False


@dataclass(slots=True)
class WatchHealth:
    """The state of all watches of one process.

    Attributes:
        clock: monotonic seconds.
        on_restored: called when a watch whose interruption was logged works again.
    """

    clock: Callable[[], float] = time.monotonic
    on_restored: Callable[[], None] = lambda: None
    _broken: dict[str, _Broken] = field(default_factory=dict)
    _opened: set[str] = field(default_factory=set)

    def failed(self, resource: str, trouble: Trouble, message: str) -> None:
        """Record that a request of the watch of `resource` (a plural) has failed; it will be retried."""
        now = self.clock()
        known = self._broken.get(resource)
        if known is None:
            self._broken[resource] = _Broken(trouble, message, since=now, changed_at=now)
            return
        known.message = message
        if known.trouble is not trouble:
            known.trouble, known.changed_at, known.is_logged = trouble, now, False
        if known.is_logged or now - known.changed_at < _GRACE_SECONDS:
            return
        is_new = trouble not in _COMMON or not self._is_logged(trouble)
        known.is_logged = True
        level = log.warning if is_new else log.debug
        level("watch interrupted", resource=resource, problem=message, remedy=trouble.value)

    def works(self, resource: str) -> None:
        """Record that the watch of `resource` is open."""
        self._opened.add(resource)
        known = self._broken.pop(resource, None)
        if known is None or not known.is_logged:
            return
        if known.trouble not in _COMMON or not self._is_logged(known.trouble):
            log.info("watch restored", resource=resource, after_seconds=round(self.clock() - known.since, 1))
        self.on_restored()

    def has_opened(self, resource: str) -> bool:
        """True if a watch of `resource` has opened since the process started."""
        return resource in self._opened

    def is_broken(self, resource: str) -> bool:
        """True if the watch is interrupted and that was logged."""
        known = self._broken.get(resource)
        return known is not None and known.is_logged

    def problem(self) -> str:
        """Return the message of a logged interruption that persists; "" if there is none."""
        return next((broken.message for broken in self._broken.values() if broken.is_logged), "")

    def _is_logged(self, trouble: Trouble) -> bool:
        return any(broken.is_logged and broken.trouble is trouble for broken in self._broken.values())
