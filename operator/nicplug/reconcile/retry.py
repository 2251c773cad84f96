"""When to try again: one error class, one meaning (docs/architecture.md, "Errors")."""

import random
from dataclasses import dataclass, field

from nicplug.kube.errors import AlreadyExists, ApiError, Denied, Gone, Rejected, Stale, Throttled, Unavailable
from nicplug.model.keys import WorkKey
from nicplug.plan.reasons import Reason
from nicplug.reconcile.memory import PlanRepeats

MAXIMUM_STALE_IN_A_ROW = 5
_STALE_SECONDS = 0.01
_STALE_BASE_SECONDS = 0.05
_UNAVAILABLE_BASE_SECONDS = 0.05
_UNAVAILABLE_CAP_SECONDS = 30.0
_FIRST_DENIED_SECONDS = 0.5
_DENIED_BASE_SECONDS = 5.0
# A person who has granted the right is looking at the screen.
_DENIED_CAP_SECONDS = 30.0
_BUG_BASE_SECONDS = 1.0
# Nobody tells when somebody else's pod of our name is gone.
_NAME_TAKEN_SECONDS = 10.0
RESYNC_SECONDS = 600.0
# Beyond this the cap is reached anyway, and 2**n would overflow a float at n = 1024.
_MAXIMUM_EXPONENT = 30


@dataclass(slots=True)
class RetryPolicy:
    """Counts failures in a row per key and turns the next one into a delay."""

    randomness: random.Random = field(default_factory=random.Random)
    _failures: dict[WorkKey, int] = field(default_factory=dict)
    _denied: set[WorkKey] = field(default_factory=set)
    _told: dict[WorkKey, str] = field(default_factory=dict)

    def succeeded(self, key: WorkKey) -> list[WorkKey]:
        """The key was reconciled: its next failure is a first one.

        Returns:
            Keys that were denied something, when this one was too: the permission may have been given.
        """
        self._failures.pop(key, None)
        self._told.pop(key, None)
        if key not in self._denied:
            return []
        self._denied.discard(key)
        return list(self._denied)

    def delay_seconds(self, key: WorkKey, error: Exception) -> float:
        """How long to wait before the key is looked at again; 0 for at once."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        if isinstance(error, Denied):
            self._denied.add(key)
        match error:
            case Throttled() | PlanRepeats():
                return error.after
            case Stale() | AlreadyExists() | Gone():
                # The watch line that made it stale is on its way and brings the key back sooner.
                if failures < MAXIMUM_STALE_IN_A_ROW:
                    return _STALE_SECONDS * 2.0**failures
                return self._backoff(_STALE_BASE_SECONDS, failures)
            case Unavailable():
                return self._backoff(_UNAVAILABLE_BASE_SECONDS, failures)
            case Denied():
                if failures == 0:
                    return _FIRST_DENIED_SECONDS
                limit = min(_DENIED_BASE_SECONDS * 2.0 ** min(failures - 1, _MAXIMUM_EXPONENT), _DENIED_CAP_SECONDS)
                return self.randomness.uniform(limit * 0.8, limit)
            case Rejected(reason=Reason.NAME_TAKEN):
                return _NAME_TAKEN_SECONDS
            case Rejected() | ApiError():
                return RESYNC_SECONDS
            case _:
                return self._backoff(_BUG_BASE_SECONDS, failures)

    def is_worth_telling(self, key: WorkKey, error: Exception) -> bool:
        """The object's status shall say it; asked after `delay_seconds` has counted the error.

        Not the first denial: a kube-apiserver that has just started denies everything until it has read its roles.
        """
        return isinstance(error, Rejected) or (isinstance(error, Denied) and self._failures.get(key, 0) > 1)

    def is_news(self, key: WorkKey, error: Exception) -> bool:
        """A person has not been told yet; from now on he has."""
        is_news = self._told.get(key) != str(error)
        self._told[key] = str(error)
        return is_news

    def _backoff(self, base_seconds: float, failures: int) -> float:
        """Exponential with full jitter, so that a thousand keys do not come back together."""
        limit = min(base_seconds * 2.0 ** min(failures, _MAXIMUM_EXPONENT), _UNAVAILABLE_CAP_SECONDS)
        return self.randomness.uniform(0, limit)
