"""Chooses the mode before the operator is built, and answers the probes while the API server does not answer."""

import asyncio
import contextlib
import signal
from collections.abc import Iterator

import structlog

from nicplug import __version__
from nicplug.kube.connect import Connection
from nicplug.metrics_protection import MetricsProtection
from nicplug.model.mode import Mode
from nicplug.obs.http import ObservabilityServer, Probes
from nicplug.obs.metrics import OperatorMetrics
from nicplug.settings import Settings
from nicplug.startup import StartError, find_mode
from nicplug.steady_clock import SteadyClock

log = structlog.get_logger(__name__)

# After that the kubelet must learn that the process is alive.
_SILENT_SECONDS = 2.0


async def choose_mode(*, settings: Settings, connection: Connection, metrics: OperatorMetrics) -> Mode | None:
    """Return the mode that fits the cluster; None if SIGTERM or SIGINT came first.

    Raises:
        StartError: the mode that was asked for does not fit, or none does, or the port of the probes is in use.
    """
    finding = asyncio.create_task(find_mode(connection.api, wanted=settings.wanted_mode, clock=SteadyClock()))
    try:
        with _cancelled_by_signals(finding):
            await asyncio.wait({finding}, timeout=_SILENT_SECONDS)
            if not finding.done():
                await _answer_probes_until(finding, settings=settings, connection=connection, metrics=metrics)
        if finding.cancelled():
            log.info("nicplug has ended")
            return None
        return finding.result()
    finally:
        finding.cancel()


@contextlib.contextmanager
def _cancelled_by_signals(task: asyncio.Task[Mode]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM)
    for number in numbers:
        loop.add_signal_handler(number, task.cancel)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


async def _answer_probes_until(
    finding: asyncio.Task[Mode], *, settings: Settings, connection: Connection, metrics: OperatorMetrics
) -> None:
    protection = MetricsProtection.of(settings, connection.api)
    await protection.load()
    server = ObservabilityServer(
        metrics=metrics,
        probes=Probes(
            healthy=lambda: "", ready=lambda: "the caches are not complete yet: the API server has not shown the mode"
        ),
        guard=protection.guard,
        tls=protection.tls,
    )
    address, port = settings.metrics_address, settings.metrics_port
    try:
        port = await server.start(address=address, port=port)
    except OSError as error:
        raise StartError(f"cannot serve metrics on {address}:{port}: {error}. Try --metrics-port 0.") from error
    log.info("nicplug waits", version=__version__, api_server=connection.server, metrics_port=port)
    try:
        await asyncio.wait({finding})
    finally:
        await server.stop()
