"""Who of the replicas works: a Lease, renewed by its holder, taken over when it is not.

Decides by the monotonic clock only; the times inside the Lease are for people. Knows nothing of
what the leader does: it calls `on_gain` and `on_lose`, and answers `is_leader`. Not fencing: a
write may still be under way when leadership ends, so every write carries its own guard.
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
    """Seconds. A crash is taken over within duration + standby poll, a release within the standby poll.

    Attributes:
        duration: a Lease that has not changed for so long is free.
        renew_deadline: a holder that could not renew for so long stands back.
        retry: the holder renews so often.
        standby_poll: the others look so often.
        attempt: one request may take so long; the client's own limit is longer than the deadline. An API server that
            takes two seconds for each must not cost the leadership.
        release: giving the Lease back at the end may take so long.
        skew: `is_leader` ends so much before the Lease does.
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
    """One candidate.

    Args:
        api: the API server.
        namespace: namespace of the Lease.
        name: name of the Lease, the same for all candidates.
        identity: ours; no two processes may share it, a restarted container included.
        on_gain: called when leadership begins; must not block.
        on_lose: called when it ends, before anybody else can hold it unless the process was stopped.
        labels: of the Lease.
        annotations: of the Lease, about its holder.
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
        # That of the event loop from `run` on: the same clock, but virtual in tests.
        self._monotonic = time.monotonic
        self._lease: Json | None = None
        self._leads = False
        # A write of ours may have made us the holder, whether or not we saw the answer.
        self._may_hold = False
        self._renewed_at = 0.0
        self._observed = ("", 0.0)
        self._complaint = ""

    def is_leader(self) -> bool:
        """Whether we may work now; ends by itself when renewing fails, even if the loop was stuck."""
        return self._leads and self._monotonic() < self._renewed_at + self._timing.duration - self._timing.skew

    async def run(self) -> None:
        """Stand for election until cancelled; then give the Lease back, within `release` seconds."""
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
                # From when the last one was sent: a slow answer leaves so much less time for the next.
                due = self._renewed_at + self._timing.retry * random.uniform(0.8, 1.0)
                await asyncio.sleep(max(0.0, due - self._monotonic()))
                self._leads = await self._keep()
        finally:
            self._leads = False
            log.info("leadership ended", lease=self._name, identity=self._identity)
            self._on_lose()

    async def _keep(self) -> bool:
        """Renew until it works; False when somebody else holds the Lease or the deadline is over."""
        while self._monotonic() < self._renewed_at + self._timing.renew_deadline:
            if await self._try(self._renew):
                return True
            if not self._may_hold:
                return False
            left = self._renewed_at + self._timing.renew_deadline - self._monotonic()
            await asyncio.sleep(max(0.05, min(self._timing.retry / 3, left)))
        return False

    async def _try(self, step: Callable[[], Awaitable[bool]]) -> bool:
        """One bounded attempt; what the API server says against it is logged once, not every time."""
        left = self._renewed_at + self._timing.renew_deadline - self._monotonic()
        # To become the holder takes two requests, a read and a write.
        bound = min(self._timing.attempt, left) if self._leads else 2 * self._timing.attempt
        try:
            async with asyncio.timeout(bound):
                done = await step()
        except (ApiError, TimeoutError) as error:
            complaint = str(error) or "no answer in time"
            if isinstance(error, Gone):
                complaint += f". {MANIFESTS} make the namespace; --namespace names another one."
            if isinstance(error, Denied):
                complaint += f". {error.remedy}"
            if complaint != self._complaint:
                log.warning("lease not written", lease=f"{self._namespace}/{self._name}", error=complaint)
            self._complaint = complaint
            return False
        self._complaint = ""
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
            # Perhaps our own write, whose answer was lost or which was sent twice.
            self._lease = await self._read()
            if self._lease is not None and _holder(self._lease) != self._identity:
                self._may_hold = False
                return False
            await self._write(self._lease)
        return True

    async def _release(self) -> None:
        if not self._may_hold:
            return
        lease = await self._read()
        if lease is None or _holder(lease) != self._identity:
            return
        # Zero is not a valid duration.
        spec = {**lease["spec"], "holderIdentity": "", "renewTime": None, "leaseDurationSeconds": 1}
        await self._api.replace(LEASES, {**lease, "spec": spec}, name=self._name, namespace=self._namespace)
        self._may_hold = False
        log.info("lease released", lease=self._name, identity=self._identity)

    async def _read(self) -> Json | None:
        try:
            return await self._api.get(LEASES, name=self._name, namespace=self._namespace)
        except Gone:
            return None

    async def _write(self, lease: Json | None) -> None:
        """Make the Lease ours, or renew it.

        Raises:
            ApiError: it is not; `Stale` and `AlreadyExists` when somebody was faster.
        """
        # Before sending: the Lease can only live longer than we believe.
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
        """The spec we write; transitions and acquireTime are kept as client-go keeps them."""
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
        """Whether somebody else holds it: it changed in our sight less than its duration ago."""
        version = lease["metadata"]["resourceVersion"]
        if version != self._observed[0]:
            self._observed = (version, self._monotonic())
        if _holder(lease) in ("", self._identity):
            return False
        duration = float(lease["spec"].get("leaseDurationSeconds") or self._timing.duration)
        return self._monotonic() < self._observed[1] + duration

    def _standby_pause(self) -> float:
        """Until the next look, in seconds: jittered, and not beyond the moment when the Lease runs out."""
        expires_in = self._observed[1] + self._timing.duration - self._monotonic()
        pause = self._timing.standby_poll * random.uniform(0.8, 1.0)
        return min(pause, expires_in + 0.01) if expires_in > 0 else pause


def _holder(lease: Json) -> str:
    return str(lease.get("spec", {}).get("holderIdentity") or "")
