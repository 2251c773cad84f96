"""The composition root: the only place that wires the parts together, and orders their start and shutdown."""

import asyncio
import contextlib
import os
import random
import secrets
import signal
import socket
from collections.abc import Callable, Coroutine
from dataclasses import replace
from operator import attrgetter
from typing import Any

import kopf
import structlog

from nicplug import __version__
from nicplug.cache.caches import Caches
from nicplug.cache.reaper import Reaper, watched_in
from nicplug.completeness import Completeness, ModeEnded
from nicplug.handlers import register
from nicplug.kopf_settings import kopf_settings
from nicplug.kube.connect import Connection
from nicplug.kube.lease import LeaderElector
from nicplug.kube.recorder import EventRecorder
from nicplug.metrics_protection import MetricsProtection
from nicplug.model.keys import WorkKey
from nicplug.model.mode import Mode
from nicplug.model.names import OPERATOR_LABELS
from nicplug.model.rivals import NICPLUG_LEASE
from nicplug.model.versions import ALLOWED_KUBEVIRT_ANNOTATION, VERSION_ANNOTATION
from nicplug.obs.http import ObservabilityServer, Probes
from nicplug.obs.loop_lag import watch_loop_lag
from nicplug.obs.metrics import OperatorMetrics
from nicplug.reconcile.companion import companion_keys, companion_reconcilers
from nicplug.reconcile.gather import Gatherer
from nicplug.reconcile.intake import Intake
from nicplug.reconcile.kubevirt_status import IgnoredKubevirts, KubevirtStatus
from nicplug.reconcile.large_objects import Expander, LargeTurns
from nicplug.reconcile.memory import Memory
from nicplug.reconcile.queue import WorkQueue
from nicplug.reconcile.reconciler import Parts, Reconciler, Reconcilers, standalone_reconcilers
from nicplug.reconcile.worker import Workers
from nicplug.settings import Settings
from nicplug.side_watches import SideWatches
from nicplug.startup import BadSetting, StartError, check_cluster
from nicplug.steady_clock import SteadyClock
from nicplug.vitals import Vitals

log = structlog.get_logger(__name__)

_DRAIN_SECONDS = 2.0


class ClockChanged(Exception):
    """The machine's clock was changed permanently: only a new process can adopt its time."""


class App:
    """One operator process.

    Args:
        settings: settings of the process.
        connection: connection to the API server.
        metrics: metrics of the process.
        mode: whether nicplug runs the virtual machines, or works beside KubeVirt.
        exit_soon: called with the exit code when only Kopf's shutdown is left.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        connection: Connection,
        metrics: OperatorMetrics,
        mode: Mode = Mode.STANDALONE,
        exit_soon: Callable[[int], None] = lambda _code: None,
    ) -> None:
        self._settings = settings
        self._connection = connection
        self._mode = mode
        self._exit_soon = exit_soon
        self.metrics = metrics
        self._stop = asyncio.Event()
        self._gate = asyncio.Event()
        self._complete = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._failure: BaseException | None = None
        self._clock = SteadyClock()
        self.caches = Caches(clock=self._clock, kubevirt_namespace=settings.kubevirt_namespace, mode=mode)
        self.queue: WorkQueue[WorkKey] = WorkQueue(group_of=attrgetter("namespace"))
        self._turns = LargeTurns(on_turn=self.queue.add)
        self.intake = Intake(caches=self.caches, queue=self.queue, is_busy=self._is_busy, on_bug=metrics.failed_by_bug)
        if self._is_companion:
            self.intake.keys_of = companion_keys
        self._reaper = Reaper(api=connection.api, caches=self.caches, on_dirty=self.intake.enqueue)
        self._side_watches = SideWatches.of(
            connection.watching, caches=self.caches, intake=self.intake, spawn=self._spawn
        )
        self._completeness = self._make_completeness()
        self._recorder = EventRecorder(connection.api, on_dropped=metrics.event_dropped)
        self._kubevirt_status = KubevirtStatus(
            api=connection.api.guarded(self._leads),
            caches=self.caches,
            may_write=self._may_work,
            clock=self._clock,
            version=f"v{__version__}",
        )
        self._ignored_kubevirts = self._make_ignored_kubevirts()
        self.intake.on_kubevirts = self._kubevirts_changed
        self.intake.on_installation = self._kubevirt_status.wake
        self._elector = self._make_elector()
        self._take_in_watches()
        self._workers = self._make_workers()
        self._protection = MetricsProtection.of(settings, connection.api)
        self.metrics.export_expiry("metrics", lambda: self._protection.expires)
        self._server = self._make_server()

    def _make_completeness(self) -> Completeness:
        return Completeness(
            reaper=self._reaper,
            watches=self._connection.watches,
            side_watches=self._side_watches,
            relisted=self.intake.relisted,
            sweep_interval_seconds=self._settings.sweep_interval_seconds,
            mode=self._mode,
        )

    def _make_ignored_kubevirts(self) -> IgnoredKubevirts:
        return IgnoredKubevirts(
            kubevirts=self.caches.kubevirts,
            recorder=self._recorder,
            may_write=self._may_work,
            write_status=self._kubevirt_status.report_ignored,
            later=asyncio.get_running_loop().call_later,
        )

    def _make_elector(self) -> LeaderElector:
        return LeaderElector(
            self._connection.lease,
            namespace=self._settings.namespace,
            name=NICPLUG_LEASE,
            identity=f"{socket.gethostname()}_{os.getpid()}_{random.randrange(16**6):06x}",
            on_gain=self._on_gain,
            on_lose=self._on_lose,
            labels=OPERATOR_LABELS,
            annotations={
                VERSION_ANNOTATION: __version__,
                ALLOWED_KUBEVIRT_ANNOTATION: self._settings.allow_kubevirt_version or "",
            },
        )

    def _take_in_watches(self) -> None:
        """Route what the watches deliver into the caches."""
        connection = self._connection
        connection.watches.on_restored = self._on_watch_restored
        connection.direct.is_known = self.caches.knows
        connection.direct.on_change = self.intake.hear
        connection.listings.order = [watched.resource.plural for watched in watched_in(self.caches.mode)]
        connection.listings.take = self.intake.hear_listed
        connection.listings.on_again = self.intake.relisted.set

    def _make_server(self) -> ObservabilityServer:
        vitals = Vitals(
            caches=self.caches,
            queue=self.queue,
            turns=self._turns,
            reaper=self._reaper,
            watches=self._connection.watches,
            controller_watches=self._side_watches.controllers,
            is_complete=lambda: self._complete,
            may_work=self._may_work,
            clock=self._clock,
        )
        vitals.export(self.metrics.instruments)
        self.metrics.export_ready(vitals.ready)
        return ObservabilityServer(
            metrics=self.metrics,
            probes=Probes(healthy=vitals.healthy, ready=vitals.ready),
            guard=self._protection.guard,
            tls=self._protection.tls,
        )

    def _make_workers(self) -> Workers:
        api = self._connection.api.guarded(self._leads)
        settings = replace(self._settings.plan_settings(), name_salt=secrets.token_hex(16))
        self.gatherer = Gatherer(
            self.caches,
            Memory(clock=self._clock),
            settings.beside_kubevirt() if self._is_companion else settings,
            is_busy=self._is_busy,
        )
        reconciler = Reconciler(
            api=api,
            gatherer=self.gatherer,
            recorder=self._recorder,
            namespace=self._settings.namespace,
            on_dirty=self.intake.enqueue,
            on_measure=self.metrics.measured,
            expander=Expander(api, self.caches, self.intake.enqueue, self._turns),
            make=self._reconcilers,
        )
        return Workers(
            queue=self.queue,
            reconciler=reconciler,
            may_work=self._may_work,
            gate=self._gate,
            observer=self.metrics,
            turns=self._turns,
        )

    @property
    def _is_companion(self) -> bool:
        return self._mode is Mode.COMPANION

    def _reconcilers(self, parts: Parts) -> Reconcilers:
        if not self._is_companion:
            return standalone_reconcilers(parts)
        allowed = self._settings.allow_kubevirt_version or ""
        return companion_reconcilers(parts, wake=self.queue.add, allowed_version=allowed)

    def _is_busy(self) -> bool:
        return self.queue.waiting() > self._settings.workers

    async def run(self) -> None:
        """Run until `stop`, SIGTERM, or an error that Kopf cannot recover from.

        Raises:
            StartError: the port is in use, or the certificate of metrics cannot be used.
            Exception: the error that ended Kopf or a part of the operator; the process must exit and be restarted.
        """
        port = await self._listen()
        log.info("nicplug starts", version=__version__, api_server=self._connection.server, metrics_port=port)
        try:
            await self._wait_for_api()
            if not self._stop.is_set():
                await self._run_kopf()
        finally:
            await self._end_work()
            await self._server.stop()
            await self._connection.close()
            log.info("nicplug has ended")
        if self._failure is not None:
            raise self._failure

    async def _listen(self) -> int:
        address, port = self._settings.metrics_address, self._settings.metrics_port
        try:
            await self._protection.load()
            return await self._server.start(address=address, port=port)
        except BadSetting:
            await self._connection.close()
            raise
        except OSError as error:
            await self._connection.close()
            raise StartError(f"cannot serve metrics on {address}:{port}: {error}. Try --metrics-port 0.") from error

    def stop(self) -> None:
        """Request the shutdown; safe to call from a signal handler."""
        self._stop.set()

    async def _wait_for_api(self) -> None:
        """Wait for the API server; stops waiting when a shutdown is requested."""
        self._catch_signals()
        waiting = asyncio.create_task(
            check_cluster(self._connection.api, mode=self._mode, namespace=self._settings.namespace, clock=self._clock)
        )
        stopping = asyncio.create_task(self._stop.wait())
        await asyncio.wait({waiting, stopping}, return_when=asyncio.FIRST_COMPLETED)
        for task in (waiting, stopping):
            task.cancel()
        if waiting.done() and not waiting.cancelled():
            waiting.result()

    async def _run_kopf(self) -> None:
        registry = kopf.OperatorRegistry()
        register(
            registry=registry,
            listener=self.intake,
            mode=self._mode,
            login=self._connection.login,
            on_start=self._on_kopf_start,
            on_end=self._on_kopf_end,
        )
        ended = asyncio.Event()
        stopper = asyncio.create_task(self._end_then(ended))
        try:
            await kopf.operator(registry=registry, settings=kopf_settings(), clusterwide=True, stop_flag=ended)
        except Exception:
            # The shutdown may make a pending request of Kopf's fail in any way; that is not why we end.
            if not self._stop.is_set() or self._failure is not None:
                raise
            log.debug("Kopf ended in an error while it was stopping", exc_info=True)
        finally:
            stopper.cancel()

    async def _end_then(self, ended: asyncio.Event) -> None:
        """On shutdown, end our own work before the watches: Kopf cancels all remaining tasks when it ends."""
        await self._stop.wait()
        await self._end_work()
        ended.set()

    async def _on_kopf_start(self) -> None:
        self._side_watches.begin()
        self._spawn(self._become_complete(), name="cache sync")
        self._spawn(self._workers.run(count=self._settings.workers), name="workers")
        self._spawn(self._recorder.run(), name="events")
        self._spawn(watch_loop_lag(self.metrics.lagged), name="loop lag")
        self._spawn(self._end_when_clock_is_wrong(), name="clock")
        self._spawn(self._protection.keep(), name="certificate of metrics")
        if not self._is_companion:  # KubeVirt's operator reports it
            self._spawn(self._kubevirt_status.run(), name="status of the KubeVirt CR")
        if self._settings.leader_election:
            self._spawn(self._elector.run(), name="leader election")

    async def _on_kopf_end(self) -> None:
        if not self._stop.is_set():
            log.error("Kopf has failed; the process ends, to be started again", reason="in the lines above")
        await self._end_work()
        # Kopf lingers for 5 s with watches that it considers hung, occasionally for minutes (measured).
        self._exit_soon(0 if self._stop.is_set() and self._failure is None else 1)

    def _spawn(self, work: Coroutine[Any, Any, None], *, name: str) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._on_task_done)
        self._tasks.add(task)
        return task

    def _on_task_done(self, task: asyncio.Task[None]) -> None:
        """End the process if a task has failed: none returns by itself, and without one of them a restart is better."""
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            if not isinstance(error, ModeEnded):  # has been logged with its reason
                log.error("a part of the operator failed; ending", part=task.get_name(), exc_info=error)
            self._failure = self._failure or error
            self.stop()

    async def _end_when_clock_is_wrong(self) -> None:
        seconds = await self._clock.until_wrong()
        log.warning("the machine's clock was set; the process ends, to be started again", seconds=round(seconds))
        self._failure = self._failure or ClockChanged(f"the machine's clock was set by {seconds:+.0f} s")
        self.stop()

    def _catch_signals(self) -> None:
        with contextlib.suppress(RuntimeError):  # not in the main thread: tests stop us by `stop`
            for number in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(number, self.stop)

    async def _end_work(self) -> None:
        """Close the gate, let writes in flight finish, release the Lease."""
        self._complete = False
        self._gate.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.queue.drained(), timeout=_DRAIN_SECONDS)
        tasks, self._tasks = self._tasks, set()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _become_complete(self) -> None:
        """Start the workers once no existing object can look missing; then keep the caches correct."""
        await self._completeness.reach()
        self._side_watches.follow_pod_failures()
        # Kopf has installed its own signal handlers in the meantime; ours end the work first, then the watches.
        self._catch_signals()
        self._complete = True
        self.intake.expect_no_more_lists()
        caches = self.caches
        log.info("caches complete", vms=len(caches.vms), vmis=len(caches.vmis), pods=len(caches.launchers.store))
        self._open_gate()
        await self._completeness.keep()

    def _leads(self) -> bool:
        return not self._settings.leader_election or self._elector.is_leader()

    def _may_work(self) -> bool:
        return self._complete and self._leads() and not self._stop.is_set()

    def _kubevirts_changed(self) -> None:
        """Report only when all KubeVirt CRs are known: the effective one may arrive last."""
        if self._complete and not self._is_companion:
            self._ignored_kubevirts.report_soon()
            self._kubevirt_status.wake()

    def _open_gate(self) -> None:
        if self._complete and not self._is_companion:
            self._ignored_kubevirts.report()
            self._kubevirt_status.wake()
        if self._may_work():
            self.intake.enqueue_all()
            self._gate.set()

    def _on_gain(self) -> None:
        log.info("this replica leads")
        self.caches.slots.begin()
        self._open_gate()

    def _on_lose(self) -> None:
        log.info("this replica stands by")
        self._gate.clear()

    def _on_watch_restored(self) -> None:
        """Check for missed deletions, and retry what was waiting now rather than when its delay is over."""
        self.intake.relisted.set()
        if self._may_work():
            self.intake.enqueue_all()
