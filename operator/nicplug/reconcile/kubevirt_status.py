"""Writes the status of the KubeVirt CRs, and reports those that have no effect."""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import structlog

from nicplug.cache.caches import Caches
from nicplug.cache.kubevirts import Kubevirts
from nicplug.kube.api import KubeApi
from nicplug.kube.errors import MANIFESTS, ApiError, Denied, Gone, Stale
from nicplug.kube.resources import KUBEVIRTS
from nicplug.model.keys import KubevirtKey
from nicplug.model.kubevirt import KubevirtConfig, mark_of_virt_operator
from nicplug.model.metadata import mapping, objects, text
from nicplug.plan.kubevirt_status import (
    Coverage,
    KubevirtReport,
    KubevirtView,
    report_of,
    report_of_ignored,
    status_patch,
)
from nicplug.reconcile.announce import Recorder, reference_of

# Reports ignored KubeVirt CRs: in the log, once per namespace; on each of them, by an Event and in its status.
#
# Limited only in rate: a growing number of CRs, or one that is recreated repeatedly, neither fills the log nor prevents
# reports on others. A report held back is sent later if its CR still exists.

log = structlog.get_logger(__name__)

REASON = "KubeVirtIgnored"
_MOST_A_MINUTE = 32
_LINES_OF_NAMESPACE, _EVENTS_OF_NAMESPACE = 1, 4
# How long reports on a namespace are remembered.
_REMEMBERED_SECONDS = 600.0
_MINUTE = 60.0
# A report covers all CRs, so it waits for others created at the same time.
_SOON = 0.5
_FAR_FUTURE = datetime.max.replace(tzinfo=UTC)


@dataclass(slots=True)
class _Reported:
    """Tracks what has been reported, and how often recently.

    Attributes:
        of_namespace: maximum of reports per namespace in `_REMEMBERED_SECONDS`, even if their CRs are deleted.
        holds: a report is being held back.
    """

    of_namespace: int
    holds: bool = False
    _names: set[str] = field(default_factory=set)
    _moments: dict[str, deque[float]] = field(default_factory=dict)
    _recent: deque[float] = field(default_factory=deque)

    def begin(self, existing: Collection[str], *, now: float) -> None:
        """Forget deleted CRs and old reports."""
        self.holds = False
        self._names.intersection_update(existing)
        _drop_before(self._recent, now - _MINUTE)
        for moments in self._moments.values():
            _drop_before(moments, now - _REMEMBERED_SECONDS)
        self._moments = {namespace: moments for namespace, moments in self._moments.items() if moments}

    def is_due(self, name: str, *, namespace: str, now: float) -> bool:
        """Report whether a report is new and within the limits; counts it as sent."""
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
    """Reports for each ignored CR why it has no effect and what to do.

    Attributes:
        may_write: returns whether this replica leads; other replicas only log.
        write_status: writes the reason into the status of a CR.
        later: calls a function after a number of seconds.
        clock: monotonic seconds.
    """

    kubevirts: Kubevirts
    recorder: Recorder
    may_write: Callable[[], bool]
    write_status: Callable[[KubevirtConfig, str], None] = lambda _config, _why: None
    later: Callable[[float, Callable[[], None]], object] = lambda _seconds, _call: None
    clock: Callable[[], float] = time.monotonic
    _logged: _Reported = field(default_factory=lambda: _Reported(_LINES_OF_NAMESPACE))
    _recorded: _Reported = field(default_factory=lambda: _Reported(_EVENTS_OF_NAMESPACE))
    _is_due_later: bool = False
    _is_due_soon: bool = False

    def report_soon(self) -> None:
        """Schedule one report for all CRs seen until then: any user may create thousands, and each causes an event."""
        if not self._is_due_soon:
            self._is_due_soon = True
            self.later(_SOON, self._report_now)

    def _report_now(self) -> None:
        self._is_due_soon = False
        self.report()

    def report(self) -> None:
        """Report all CRs that have not been reported yet, and schedule another report if one is held back."""
        now, all_ = self.clock(), self.kubevirts.ignored()
        self._logged.begin({item.key.namespace for item in all_}, now=now)
        self._recorded.begin({item.uid for item in all_}, now=now)
        # The oldest first, so that an endless stream of new CRs comes after the admin's.
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
            self.recorder.event(reference_of(ignored), type="Warning", reason=REASON, message=message)
            self.write_status(ignored, message)

    def _explain(self, ignored: KubevirtConfig) -> tuple[str, str]:
        """Return why it has no effect, and what to do."""
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


# Writes the status of the KubeVirt CRs: of the effective one, and of ignored ones.
#
# Only the leader writes, only changes, and at most one round per `PAUSE_SECONDS`, since nodes and controllers come and
# go. If another writer changes its status, it does not fight back but checks again after `LOOK_AGAIN_SECONDS`. It never
# touches a status that KubeVirt's virt-operator reports (ADR 0028).

PAUSE_SECONDS = 10.0
LOOK_AGAIN_SECONDS = 600.0
# Few are reported (`IgnoredKubevirts`); without a leader they do not accumulate.
_MOST_IGNORED = 64
_LONGEST_PAUSE_SECONDS = 300.0
_RIGHT = f"{MANIFESTS} give the right to patch kubevirts/status"


@dataclass(frozen=True, slots=True)
class _Written:
    """The last status written to, or found in, the effective CR, with its time by the event loop's clock."""

    uid: str
    report: KubevirtReport
    at: float

    def is_covered_by(self, earlier: "_Written | None") -> bool:
        """Report whether the same status was written recently."""
        if earlier is None or self.at - earlier.at >= LOOK_AGAIN_SECONDS:
            return False
        return (self.uid, self.report) == (earlier.uid, earlier.report)


@dataclass(slots=True)
class KubevirtStatus:
    """Keeps the statuses up to date.

    Attributes:
        may_write: returns whether this replica leads and its caches are complete.
        version: nicplug's version, as the aggregated API reports it.
    """

    api: KubeApi
    caches: Caches
    may_write: Callable[[], bool]
    clock: Callable[[], datetime]
    version: str
    _woken: asyncio.Event = field(default_factory=asyncio.Event)
    _written: _Written | None = None
    _ignored: deque[tuple[KubevirtConfig, str]] = field(default_factory=lambda: deque(maxlen=_MOST_IGNORED))
    _failures: int = 0
    _last_warning: str = ""

    def wake(self) -> None:
        """Note that a status may have changed; costs nothing until the next round."""
        self._woken.set()

    def report_ignored(self, config: KubevirtConfig, why: str) -> None:
        """Queue a status for an ignored KubeVirt CR; the caller limits the rate."""
        self._ignored.append((config, why))
        self.wake()

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            # Not asyncio.wait_for: before Python 3.12 it loses the end of this task when it comes with the event.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_AGAIN_SECONDS):
                    await self._woken.wait()
            self._woken.clear()
            if self.may_write():
                is_done = await self._round()
                self._failures = 0 if is_done else self._failures + 1
                if not is_done:
                    self.wake()
                await asyncio.sleep(min(PAUSE_SECONDS * 2.0 ** min(self._failures, 10), _LONGEST_PAUSE_SECONDS))

    async def _round(self) -> bool:
        """Write what has changed; returns whether all statuses are up to date, or another round is needed."""
        config, is_done, now = self.caches.config(), True, asyncio.get_running_loop().time()
        if config is not None:
            written = _Written(config.uid, report_of(self._view(config)), now)
            if not written.is_covered_by(self._written):
                is_done = await self._write(config, written.report)
                self._written = written if is_done else None
        for _ in range(len(self._ignored)):
            ignored, why = self._ignored.popleft()
            # It may have been deleted, or have become the effective one, since it was reported.
            is_ignored = any(item.uid == ignored.uid for item in self.caches.kubevirts.ignored())
            if is_ignored and not await self._write(ignored, report_of_ignored(why)):
                self._ignored.append((ignored, why))
                is_done = False
        return is_done

    async def _write(self, config: KubevirtConfig, report: KubevirtReport) -> bool:
        """Write a status; returns True if it is up to date or belongs to another writer."""
        try:
            raw = await self._read(config.key)
            if text(mapping(raw.get("metadata")).get("uid")) == config.uid:
                await self._patch(raw, config.key, report)
        except Stale:
            return False
        except Gone:
            return True
        except ApiError as error:
            is_right = isinstance(error, Denied) and error.is_missing_right
            self._warn_once(
                "status of the KubeVirt CR not written", error=str(error), remedy=_RIGHT if is_right else ""
            )
            return False
        return True

    async def _read(self, key: KubevirtKey) -> Mapping[str, Any]:
        """Return the whole object, of which the cache has only a part. Uses a list: the role does not permit get."""
        page = await self.api.list(
            KUBEVIRTS, namespace=key.namespace, field_selector=f"metadata.name={key.name}", limit=1
        )
        items = objects(page.get("items"))
        return next((item for item in items if mapping(item.get("metadata")).get("name") == key.name), {})

    async def _patch(self, raw: Mapping[str, Any], key: KubevirtKey, report: KubevirtReport) -> None:
        if mark := mark_of_virt_operator(raw):
            remedy = "nothing, if KubeVirt runs in this cluster; else remove the mark"
            self._warn_once("status of the KubeVirt CR is KubeVirt's", kubevirt=str(key), mark=mark, remedy=remedy)
            return
        operations = status_patch(raw, report, now=self.clock())
        if not operations:
            return
        metadata = mapping(raw.get("metadata"))
        guards = [
            {"op": "test", "path": f"/metadata/{name}", "value": metadata.get(name)}
            # Exactly this version: another writer that starts to report leaves its mark on a newer one.
            for name in ("uid", "resourceVersion")
        ]
        await self.api.patch(
            KUBEVIRTS, [*guards, *operations], name=key.name, namespace=key.namespace, subresource="status"
        )
        self._last_warning = ""
        log.info("status of the KubeVirt CR written", kubevirt=str(key))

    def _view(self, config: KubevirtConfig) -> KubevirtView:
        controllers, nodes = self.caches.controllers, self.caches.nodes.all()
        ready = controllers.ready_nodes()
        return KubevirtView(
            config=config,
            version=self.version,
            attachments=self.caches.attachments.known(()).knowledge,
            attachment_rule=self.caches.attachment_access().rule.rstrip(","),
            coverage=Coverage(
                nodes=len(nodes) if nodes is not None else None,
                ready=sum(node.name in ready for node in nodes) if nodes is not None and ready is not None else None,
                is_deployed=bool(controllers.controllers()),
                trusted=tuple(sorted(controllers.namespaces())),
            ),
        )

    def _warn_once(self, event: str, **fields: str) -> None:
        """Log an obstacle once, not in every round."""
        line = f"{event} {fields}"
        if line != self._last_warning:
            log.warning(event, **fields)
        self._last_warning = line
