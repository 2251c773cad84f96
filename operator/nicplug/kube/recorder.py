"""Writes events.k8s.io Events: aggregated, rate-limited, and without ever blocking the caller.

The same event about the same object is one Event with a growing `series.count`. Knows nothing of why something is
recorded; callers neither wait nor see an error, and lost events are counted.

Urgent events, such as those about a lost launcher pod or a failed migration, are written first, have their own rate
limits and are kept longer during an outage: none of them is dropped while any other event is kept.
"""

import asyncio
import contextlib
import hashlib
import socket
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from nicplug.kube.api import Json, KubeApi
from nicplug.kube.errors import AlreadyExists, ApiError, Denied, Gone, Throttled, Unavailable
from nicplug.kube.event_queue import EventQueue
from nicplug.kube.resources import EVENTS

log = structlog.get_logger(__name__)

REPORTING_CONTROLLER = "nicplug.io/operator"
# Limits of kube-apiserver's validation, in bytes (tests/conformance).
NOTE_BYTES = 1024
INSTANCE_BYTES = 128
_ACTION = "Reconcile"
_ATTEMPTS = 4
# One round lasts for all attempts during an outage, about 8 s, for every urgent event in the queue.
_URGENT_ROUNDS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectReference:
    """The object an event is about; `namespace` is "" for cluster-scoped ones."""

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RecorderLimits:
    """Limits of the recorder.

    Attributes:
        queue: number of events that may wait to be written; more are dropped, urgent ones last.
        series_seconds: minimum interval between writes of a repeated event.
        burst: distinct events per object at once; client-go's value. Urgent events have the same number of their own.
        refill_seconds: after the burst, interval at which an object may have one more event; client-go's value.
        memory: number of events and objects remembered for aggregation.
        flush_seconds: how long shutdown waits for queued events.
    """

    queue: int = 1000
    series_seconds: float = 10.0
    burst: int = 25
    refill_seconds: float = 300.0
    memory: int = 4096
    flush_seconds: float = 1.0


@dataclass(frozen=True, slots=True)
class _Key:
    uid: str
    type: str
    reason: str
    message: str


@dataclass(slots=True)
class _Series:
    """One Event object: how often it occurred, and how much of that is written.

    Attributes:
        next_write_at: monotonic seconds.
        rounds: rounds of attempts that failed because the API server did not answer.
    """

    regarding: ObjectReference
    key: _Key
    name: str
    is_urgent: bool
    first_at: datetime
    last_at: datetime
    count: int = 1
    is_written: bool = False
    next_write_at: float = 0.0
    rounds: int = 0


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled_at: float


def _drop_nothing(_is_urgent: bool) -> None:
    """Ignore the event: the default `on_dropped`."""


def _utc_now() -> datetime:
    return datetime.now(UTC)


class EventRecorder:
    """Writes events in its own task (`run`).

    Args:
        api: the API server.
        on_dropped: called for each event that will not be written, with whether it was urgent.
        instance: name of this process in the events; by default the host name, which is the pod's name.
        limits: see `RecorderLimits`.
        now: clock for the times in the events.
    """

    def __init__(
        self,
        api: KubeApi,
        *,
        on_dropped: Callable[[bool], None] = _drop_nothing,
        instance: str | None = None,
        limits: RecorderLimits | None = None,
        now: Callable[[], datetime] = _utc_now,
    ) -> None:
        self._api = api
        self._on_dropped = on_dropped
        self._instance = (instance or socket.gethostname())[:INSTANCE_BYTES]
        self._limits = limits or RecorderLimits()
        self._now = now
        self._monotonic = time.monotonic
        self._series: OrderedDict[_Key, _Series] = OrderedDict()
        self._buckets: OrderedDict[tuple[str, bool], _Bucket] = OrderedDict()
        self._new: EventQueue[_Series] = EventQueue(size=self._limits.queue)
        self._repeated: dict[_Key, _Series] = {}
        self._woken = asyncio.Event()
        self._last_failure = ""

    def event(
        self, regarding: ObjectReference, *, type: str, reason: str, message: str, is_urgent: bool = False
    ) -> None:
        """Record one event; returns at once and never raises.

        Args:
            regarding: the object.
            type: `Normal` or `Warning`.
            reason: CamelCase.
            message: a sentence; truncated to 1,024 bytes.
            is_urgent: the event reports a serious failure, such as a lost launcher pod; it precedes all others.
        """
        key = _Key(regarding.uid, type, reason, cut(message, NOTE_BYTES))
        if (known := self._series.get(key)) is not None:
            self._repeat(known)
        elif self._may_write(regarding.uid, is_urgent=is_urgent):
            self._begin(regarding, key, is_urgent=is_urgent)
        else:
            self._on_dropped(is_urgent)
        self._woken.set()

    async def run(self) -> None:
        """Write events until cancelled; then write those still queued, within `flush_seconds`."""
        self._monotonic = asyncio.get_running_loop().time
        try:
            while True:
                await self._write_new()
                await self._write_repeated()
                await self._sleep()
        finally:
            # Not asyncio.timeout: in a task that is being cancelled it lets CancelledError out before Python 3.11.5.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._write_new(), timeout=self._limits.flush_seconds)
            for _, is_urgent in self._new.drain():
                self._on_dropped(is_urgent)

    def _begin(self, regarding: ObjectReference, key: _Key, *, is_urgent: bool) -> None:
        now = self._now()
        name = _event_name(regarding, key)
        series = _Series(regarding, key, name, is_urgent, first_at=now, last_at=now)
        self._series[key] = series
        if (dropped := self._new.add(series, is_urgent=is_urgent)) is not None:
            self._drop(dropped)
        if len(self._series) > self._limits.memory:
            self._series.popitem(last=False)

    def _repeat(self, series: _Series) -> None:
        series.count += 1
        series.last_at = self._now()
        self._series.move_to_end(series.key)
        self._repeated[series.key] = series

    def _drop(self, series: _Series) -> None:
        """Discard a series; the next event of its kind begins a new one."""
        for known in (self._series, self._repeated):
            if known.get(series.key) is series:
                del known[series.key]
        self._on_dropped(series.is_urgent)

    def _may_write(self, uid: str, *, is_urgent: bool) -> bool:
        """Take a token of the object; urgent events have their own tokens, and use those of the others after them."""
        return (is_urgent and self._take_token(uid, is_urgent=True)) or self._take_token(uid, is_urgent=False)

    def _take_token(self, uid: str, *, is_urgent: bool) -> bool:
        now, name = self._monotonic(), (uid, is_urgent)
        bucket = self._buckets.pop(name, None) or _Bucket(float(self._limits.burst), now)
        gained = (now - bucket.filled_at) / self._limits.refill_seconds
        bucket.tokens = min(float(self._limits.burst), bucket.tokens + gained)
        bucket.filled_at = now
        self._buckets[name] = bucket
        if len(self._buckets) > self._limits.memory:
            self._buckets.popitem(last=False)
        if bucket.tokens < 1:
            return False
        bucket.tokens -= 1
        return True

    async def _sleep(self) -> None:
        """Wait until there is a new event, or a repeated event may be written."""
        waiting = [series.next_write_at for series in self._repeated.values() if series.is_written]
        pause = max(0.05, min(waiting) - self._monotonic()) if waiting else None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await self._woken.wait()
        self._woken.clear()

    async def _write_new(self) -> None:
        while (series := self._new.take()) is not None:
            await self._write(series, self._post)
            # Only now: if the write is cancelled, the event is still queued for shutdown.
            self._new.finish()

    async def _write_repeated(self) -> None:
        now = self._monotonic()
        due = [one for one in self._repeated.values() if one.is_written and one.next_write_at <= now]
        for series in sorted(due, key=lambda one: not one.is_urgent):
            del self._repeated[series.key]
            await self._write(series, self._bump)

    async def _write(self, series: _Series, step: Callable[[_Series], Awaitable[None]]) -> None:
        """Try a few times; gives up on errors that a retry cannot fix. During an outage, requeues an urgent event."""
        is_outage = False
        for attempt in range(_ATTEMPTS):
            try:
                await step(series)
            except (Unavailable, Throttled) as error:
                is_outage = True
                self._log_failure(series, error)
                await asyncio.sleep(error.after if isinstance(error, Throttled) else 0.5 * 2**attempt)
            except ApiError as error:
                is_outage = False
                self._log_failure(series, error)
                break
            else:
                self._last_failure = ""
                series.is_written = True
                series.next_write_at = self._monotonic() + self._limits.series_seconds
                return
        series.rounds += 1
        if is_outage and series.is_urgent and not series.is_written and series.rounds < _URGENT_ROUNDS:
            self._new.put_back()
        else:
            self._drop(series)

    async def _post(self, series: _Series) -> None:
        try:
            await self._api.create(EVENTS, self._body(series), namespace=_namespace(series.regarding))
        except AlreadyExists:
            # Written by this operator before it restarted. An empty patch reads the event: the operator has permission
            # to patch events, but not to get them.
            found = await self._api.patch(EVENTS, [], name=series.name, namespace=_namespace(series.regarding))
            before = int((found.get("series") or {}).get("count") or 1)
            await self._bump(series, before=before)
            series.count += before

    async def _bump(self, series: _Series, *, before: int = 0) -> None:
        value = {"count": before + series.count, "lastObservedTime": _micro_time(series.last_at)}
        patch = [{"op": "add", "path": "/series", "value": value}]
        try:
            await self._api.patch(EVENTS, patch, name=series.name, namespace=_namespace(series.regarding))
        except Gone:
            # The API server keeps events for an hour. Start a new one.
            series.count, series.first_at = 1, series.last_at
            await self._api.create(EVENTS, self._body(series), namespace=_namespace(series.regarding))

    def _body(self, series: _Series) -> Json:
        regarding = series.regarding
        return {
            "metadata": {"name": series.name, "namespace": _namespace(regarding)},
            "eventTime": _micro_time(series.first_at),
            "reportingController": REPORTING_CONTROLLER,
            "reportingInstance": self._instance,
            "action": _ACTION,
            "reason": series.key.reason,
            "type": series.key.type,
            "note": series.key.message,
            "regarding": {
                "apiVersion": regarding.api_version,
                "kind": regarding.kind,
                "name": regarding.name,
                "uid": regarding.uid,
                **({"namespace": regarding.namespace} if regarding.namespace else {}),
            },
        }

    def _log_failure(self, series: _Series, error: ApiError) -> None:
        """Log each distinct error once, not for every event."""
        is_right = isinstance(error, Denied) and error.is_missing_right
        remedy = ": allow create and patch on events.events.k8s.io" if is_right else ""
        failure = f"{error}{remedy}"
        if failure != self._last_failure:
            log.warning("event not written", reason=series.key.reason, error=failure)
        self._last_failure = failure


def cut(text: str, limit: int) -> str:
    """Truncate `text` to at most `limit` bytes of UTF-8, ending in an ellipsis."""
    encoded = text.encode(errors="replace")
    if len(encoded) <= limit:
        return encoded.decode()
    ellipsis = "…"
    kept = encoded[: limit - len(ellipsis.encode())]
    return kept.decode(errors="ignore") + ellipsis


def _event_name(regarding: ObjectReference, key: _Key) -> str:
    """Return a name that is the same after a restart, so that an existing Event is found."""
    text = "\0".join((key.uid, regarding.kind, key.type, key.reason, key.message))
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return f"{regarding.name[:200]}.{digest}"


def _namespace(regarding: ObjectReference) -> str:
    return regarding.namespace or "default"


def _micro_time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
