"""Settings of Kopf, tuned for an operator that only listens (measurements: docs/adr/0001).

By default, Kopf keeps a copy of every object and writes annotations; nicplug has its own cache and needs no state of
Kopf's, so both storages are null objects.
"""

from collections.abc import Iterator
from typing import Any

import kopf

from nicplug.model.names import LAUNCHER_SELECTOR, VM_UID_LABEL

_CHUNK_SIZE = 500
_SERVER_TIMEOUT_SECONDS = 290
_MAXIMUM_BACKOFF_SECONDS = 2.0


class EndlessBackoff:
    """Delays that grow to two seconds and never end.

    Kopf's own list ends after 54 s, after which an unavailable API server ends the operator; its long last delays also
    made a watch recover 13 s late (measured).
    """

    def __iter__(self) -> Iterator[float]:
        delay = 0.1
        while True:
            yield delay
            delay = min(delay * 2, _MAXIMUM_BACKOFF_SECONDS)


class NullDiffBaseStorage(kopf.DiffBaseStorage):
    """Stores nothing: half of a listening operator's CPU time went into copies that nothing read."""

    def build(self, **_: Any) -> Any:
        """Return an empty essence; None would mean that a handler must be called."""
        return {}

    def fetch(self, **_: Any) -> Any:
        """Return an empty essence: nothing has changed, ever."""
        return {}

    def store(self, **_: Any) -> None:
        """Write nothing."""


class NullProgressStorage(kopf.ProgressStorage):
    """Stores nothing: `on.event` has no progress."""

    def fetch(self, **_: Any) -> None:
        """Return None: no handler is in progress."""

    def store(self, **_: Any) -> None:
        """Write nothing."""

    def purge(self, **_: Any) -> None:
        """Remove nothing."""

    def touch(self, **_: Any) -> None:
        """Write nothing."""

    def clear(self, *, essence: Any) -> Any:
        """Return the essence unchanged: it contains nothing of ours."""
        return essence


def kopf_settings() -> kopf.OperatorSettings:
    """Return Kopf's settings."""
    settings = kopf.OperatorSettings()
    settings.persistence.diffbase_storage = NullDiffBaseStorage()
    settings.persistence.progress_storage = NullProgressStorage()
    # An idle worker keeps the last body of its object alive: with 5 s, a relist kept all of them in memory.
    settings.queueing.idle_timeout = 0.2
    settings.queueing.error_delays = EndlessBackoff()
    settings.networking.error_backoffs = EndlessBackoff()
    settings.networking.request_timeout = 30
    settings.watching.server_timeout = _SERVER_TIMEOUT_SECONDS
    settings.watching.client_timeout = _SERVER_TIMEOUT_SECONDS + 10
    settings.watching.connect_timeout = 5
    settings.watching.chunk_size = _CHUNK_SIZE
    settings.watching.label_selectors["v1", "pods"] = LAUNCHER_SELECTOR
    settings.watching.label_selectors["apps", "v1", "controllerrevisions"] = VM_UID_LABEL
    # No watch of CRDs and namespaces; `startup` waits until the CRDs exist.
    settings.scanning.disabled = True
    settings.posting.enabled = False
    settings.execution.max_workers = 2
    settings.process.ultimate_exiting_timeout = 20
    return settings
