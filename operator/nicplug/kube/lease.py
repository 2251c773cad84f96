"""Leader election of the replicas: the holder renews a Lease; another replica takes over a Lease that is not renewed.

Decides by the monotonic clock only; the times inside the Lease are informational. Knows nothing of what the leader
does: it calls `on_gain` and `on_lose`, and answers `is_leader`. `AioApi.guarded` asks that before it sends a write.
This is not fencing: a write may still be in flight when leadership ends, so every write carries its own guard.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import structlog

from nicplug.kube.api import Json, KubeApi
from nicplug.kube.errors import MANIFESTS, ApiError, Denied, Gone, Stale
from nicplug.kube.resources import LEASES

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseTiming:
    """Durations of the leader election, all in seconds.

    After a crash, another replica takes over within duration + standby_poll; after a release, within standby_poll.

    Attributes:
        duration: time after which an unchanged Lease is free.
        renew_deadline: time without a successful renewal after which the holder steps down.
        retry: interval between renewals by the holder.
        standby_poll: interval between checks by the other candidates.
        attempt: time-out of one request. The client's own time-out is longer than the deadline; an API server that
            needs two seconds per request must not cost the leadership.
        release: time-out for releasing the Lease at the end.
        skew: `is_leader` turns False this long before the Lease expires.
    """

    duration: float = 8.0
    renew_deadline: float = 6.0
    retry: float = 1.5
    standby_poll: float = 0.8
    attempt: float = 3.0
    release: float = 2.0
    skew: float = 1.0


def _utc_now() -> datetime:
    return datetime.now(UTC)


class LeaderElector:
    """One candidate of the leader election.

    Args:
        api: the API server.
        namespace: namespace of the Lease.
        name: name of the Lease, shared by all candidates.
        identity: identity of this candidate; unique per process, including after a container restart.
        on_gain: called when leadership begins; must not block.
        on_lose: called when it ends, before another candidate can hold it, unless the process was stopped.
        labels: labels of the Lease.
        annotations: annotations of the Lease, about its holder.
        timing: see `LeaseTiming`.
        now: clock for the times shown in the Lease.
    """

    def __init__(
        self,
        api: KubeApi,
        *,
        namespace: str,
        name: str,
        identity: str,
        on_gain: Callable[[], None],
        on_lose: Callable[[], None],
        labels: Mapping[str, str] | None = None,
        annotations: Mapping[str, str] | None = None,
        timing: LeaseTiming | None = None,
        now: Callable[[], datetime] = _utc_now,
    ) -> None:
        self._api = api
        self._namespace = namespace
        self._name = name
        self._identity = identity
        self._on_gain = on_gain
        self._on_lose = on_lose
        self._marks = {"labels": dict(labels or {}), "annotations": dict(annotations or {})}
        self._timing = timing or LeaseTiming()
        self._now = now
        # Replaced in `run` by the clock of the event loop: the same clock, but virtual in tests.
        self._monotonic = time.monotonic
        self._lease: Json | None = None
        self._leads = False
        # True if a write may have made this candidate the holder, even if its answer was lost.
        self._may_hold = False
        self._renewed_at = 0.0
        self._observed = ("", 0.0)
        self._last_failure = ""

    def is_leader(self) -> bool:
        """True if this candidate may lead. Turns False when renewals fail, even if the event loop was stuck."""
        return self._leads and self._monotonic() < self._renewed_at + self._timing.duration - self._timing.skew

    async def run(self) -> None:
        """Run for election until cancelled; then release the Lease, within `release` seconds."""
        self._monotonic = asyncio.get_running_loop().time
        try:
            while True:
                if await self._try(self._acquire):
                    await self._lead()
                await asyncio.sleep(self._standby_pause())
        finally:
            with contextlib.suppress(ApiError, TimeoutError):
                async with asyncio.timeout(self._timing.release):
                    await self._release()

    async def _lead(self) -> None:
        self._leads = True
        log.info("leadership gained", lease=self._name, identity=self._identity)
        try:
            self._on_gain()
            while self._leads:
                # Counted from when the last renewal was sent: a slow answer shortens the wait for the next.
                due = self._renewed_at + self._timing.retry * random.uniform(0.8, 1.0)
                await asyncio.sleep(max(0.0, due - self._monotonic()))
                self._leads = await self._keep()
        finally:
            self._leads = False
            log.info("leadership ended", lease=self._name, identity=self._identity)
            self._on_lose()

    async def _keep(self) -> bool:
        """Renew until it succeeds; returns False if another candidate holds the Lease or the deadline has passed."""
        while self._monotonic() < self._renewed_at + self._timing.renew_deadline:
            if await self._try(self._renew):
                return True
            if not self._may_hold:
                return False
            left = self._renewed_at + self._timing.renew_deadline - self._monotonic()
            await asyncio.sleep(max(0.05, min(self._timing.retry / 3, left)))
        return False

    async def _try(self, step: Callable[[], Awaitable[bool]]) -> bool:
        """Try once, within a time limit; logs each error of the API server once, not on every attempt."""
        left = self._renewed_at + self._timing.renew_deadline - self._monotonic()
        # Acquiring the Lease takes two requests, a read and a write.
        bound = min(self._timing.attempt, left) if self._leads else 2 * self._timing.attempt
        try:
            async with asyncio.timeout(bound):
                done = await step()
        except (ApiError, TimeoutError) as error:
            failure = str(error) or "no answer in time"
            if isinstance(error, Gone):
                failure += f". {MANIFESTS} make the namespace; --namespace names another one."
            if isinstance(error, Denied):
                failure += f". {error.remedy}"
            if failure != self._last_failure:
                log.warning("lease not written", lease=f"{self._namespace}/{self._name}", error=failure)
            self._last_failure = failure
            return False
        self._last_failure = ""
        return done

    async def _acquire(self) -> bool:
        lease = await self._read()
        if lease is not None and self._is_taken(lease):
            self._may_hold = False
            return False
        await self._write(lease)
        return True

    async def _renew(self) -> bool:
        try:
            await self._write(self._lease)
        except (Stale, Gone):
            # Possibly caused by our own write, whose answer was lost or which was sent twice.
            self._lease = await self._read()
            if self._lease is not None and _holder(self._lease) != self._identity:
                self._may_hold = False
                return False
            await self._write(self._lease)
        return True

    async def _release(self) -> None:
        while self._may_hold:
            lease = await self._read()
            if lease is None or _holder(lease) != self._identity:
                return
            # Zero is not a valid duration.
            spec = {**lease["spec"], "holderIdentity": "", "renewTime": None, "leaseDurationSeconds": 1}
            # Stale: a renewal that was cancelled on its way has arrived between this read and this write.
            with contextlib.suppress(Stale):
                await self._api.replace(LEASES, {**lease, "spec": spec}, name=self._name, namespace=self._namespace)
                self._may_hold = False
                log.info("lease released", lease=self._name, identity=self._identity)

    async def _read(self) -> Json | None:
        try:
            return await self._api.get(LEASES, name=self._name, namespace=self._namespace)
        except Gone:
            return None

    async def _write(self, lease: Json | None) -> None:
        """Acquire the Lease, or renew it.

        Raises:
            ApiError: the write failed; `Stale` or `AlreadyExists` if another candidate was faster.
        """
        # Taken before sending: the Lease can only live longer than we assume.
        sent_at = self._monotonic()
        self._may_hold = True
        metadata: Json = lease["metadata"] if lease else {"name": self._name, "namespace": self._namespace}
        marks = {name: {**(metadata.get(name) or {}), **ours} for name, ours in self._marks.items() if ours}
        metadata = {**metadata, **marks}
        body = {"metadata": metadata, "spec": self._spec(lease)}
        if lease is None:
            self._lease = await self._api.create(LEASES, body, namespace=self._namespace)
        else:
            self._lease = await self._api.replace(LEASES, body, name=self._name, namespace=self._namespace)
        self._renewed_at = sent_at

    def _spec(self, lease: Json | None) -> Json:
        """Return the spec to write; transitions and acquireTime follow client-go."""
        now = self._now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        old = lease.get("spec", {}) if lease else {}
        is_ours = lease is not None and _holder(lease) == self._identity
        transitions = int(old.get("leaseTransitions") or 0)
        return {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": max(1, round(self._timing.duration)),
            "acquireTime": (old.get("acquireTime") or now) if is_ours else now,
            "renewTime": now,
            "leaseTransitions": transitions if is_ours or lease is None else transitions + 1,
        }

    def _is_taken(self, lease: Json) -> bool:
        """True if another candidate holds the Lease: we saw it change less than its duration ago."""
        version = lease["metadata"]["resourceVersion"]
        if version != self._observed[0]:
            self._observed = (version, self._monotonic())
        if _holder(lease) in ("", self._identity):
            return False
        duration = float(lease["spec"].get("leaseDurationSeconds") or self._timing.duration)
        return self._monotonic() < self._observed[1] + duration

    def _standby_pause(self) -> float:
        """Return the seconds until the next check: with jitter, and not beyond the expiry of the Lease."""
        expires_in = self._observed[1] + self._timing.duration - self._monotonic()
        pause = self._timing.standby_poll * random.uniform(0.8, 1.0)
        return min(pause, expires_in + 0.01) if expires_in > 0 else pause


def _holder(lease: Json) -> str:
    return str(lease.get("spec", {}).get("holderIdentity") or "")
