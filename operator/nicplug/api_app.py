"""The composition root of `nicplug api`: the only place that wires the aggregated API server together."""

import asyncio
import contextlib
import signal
from collections.abc import Coroutine, Mapping
from datetime import UTC, datetime
from typing import Any

import structlog

from nicplug import __version__
from nicplug.api_settings import ApiSettings
from nicplug.apiserver.calls import GROUP, VERSIONS
from nicplug.apiserver.certificates import (
    CaBundles,
    CertificateSource,
    EvictionWebhook,
    FileCertificate,
    SecretCertificate,
)
from nicplug.apiserver.dispatch import Limits
from nicplug.apiserver.self_signed import Issued
from nicplug.apiserver.server import AggregatedApiServer, Binding
from nicplug.descriptors import raise_descriptor_limit
from nicplug.garbage_collection import settle_garbage_collector
from nicplug.kube.api import ServerApi
from nicplug.kube.connect import Connection, connect
from nicplug.metrics_protection import MetricsProtection
from nicplug.obs.http import ObservabilityServer, Probes
from nicplug.obs.loop_lag import watch_loop_lag
from nicplug.obs.metrics import ApiMetrics
from nicplug.startup import StartError, refuse_other_servers
from nicplug.subresources.served import Served

log = structlog.get_logger(__name__)

LARGEST_OPTIONS = 64 * 1024
EVICTION_WEBHOOK = "nicplug-evictions"
"""Name of the ValidatingWebhookConfiguration."""


def certificate_source(settings: ApiSettings, api: ServerApi) -> CertificateSource:
    """Return the certificate files as source if they are set, else the Secret."""
    if settings.tls_cert_file is not None and settings.tls_private_key_file is not None:
        return FileCertificate(certificate=settings.tls_cert_file, key=settings.tls_private_key_file)
    bundles = CaBundles(
        api=api,
        api_services=tuple(f"{version}.{GROUP}" for version in VERSIONS),
        namespace=settings.namespace,
        service=settings.service,
    )
    webhook = EvictionWebhook(api=api, name=EVICTION_WEBHOOK, namespace=settings.namespace, service=settings.service)

    async def announce(issued: Issued) -> None:
        await bundles.write(issued.authorities)
        await webhook.write(issued)

    return SecretCertificate(
        api=api,
        namespace=settings.namespace,
        name=settings.certificate_secret,
        names=(settings.server_name(),),
        announce=announce,
        clock=lambda: datetime.now(UTC),
    )


async def run_api(settings: ApiSettings) -> None:
    """Serve until SIGTERM.

    Raises:
        ConfigError: the configuration does not lead to an API server.
        StartError: a port is in use, another server serves the API, or the certificate of metrics cannot be used.
    """
    raise_descriptor_limit()
    metrics = ApiMetrics()
    connection = await connect(kubeconfig=settings.kubeconfig, on_response=metrics.requested)
    served = Served.make(
        api=connection.api, watching=connection.watching, kubevirt_namespace=settings.kubevirt_namespace
    )
    server = AggregatedApiServer(
        api=connection.api,
        source=certificate_source(settings, connection.api),
        handlers=served.handlers,
        reviewer=served.evictions.review,
        metrics=metrics,
        limits=_limits(settings),
        handlers_problem=served.problem,
        config_version=served.config_version,
    )
    metrics.export_ready(server.problem)
    probes = Probes(healthy=lambda: "", ready=server.problem)
    protection = MetricsProtection.of(settings, connection.api)
    metrics.export_expiry("metrics", lambda: protection.expires)
    observability = ObservabilityServer(metrics=metrics, probes=probes, guard=protection.guard, tls=protection.tls)
    try:
        await protection.load()
        names = [f"{version}.{GROUP}" for version in VERSIONS]
        await refuse_other_servers(connection.api, names=names, namespace=settings.namespace, service=settings.service)
        await _listen(settings, server, observability, connection)
        keeping = {"loop lag": watch_loop_lag(metrics.lagged), "certificate of metrics": protection.keep()}
        await _serve(server, served, keeping, every_seconds=settings.refresh_seconds)
    finally:
        await server.stop()
        await observability.stop()
        await connection.close()
        log.info("nicplug api has ended")


def _limits(settings: ApiSettings) -> Limits:
    return Limits(
        # Options are a few dozen bytes; parsed, they take thirty times the size of their text.
        body_bytes=LARGEST_OPTIONS,
        request_seconds=settings.request_seconds,
        concurrent=settings.concurrent_requests,
        concurrent_of_one=settings.concurrent_requests_per_user,
        connections=settings.connections,
    )


async def _listen(
    settings: ApiSettings, server: AggregatedApiServer, observability: ObservabilityServer, connection: Connection
) -> None:
    binding = Binding(address=settings.address, port=settings.port)
    try:
        metrics_port = await observability.start(address=settings.metrics_address, port=settings.metrics_port)
        port = await server.start(binding)
    except OSError as error:
        raise StartError(f"cannot listen: {error}. Try --port 0 or --metrics-port 0.") from error
    settle_garbage_collector()
    log.info(
        "nicplug api serves", version=__version__, api_server=connection.server, port=port, metrics_port=metrics_port
    )


async def _serve(
    server: AggregatedApiServer,
    served: Served,
    keeping: Mapping[str, Coroutine[Any, Any, None]],
    *,
    every_seconds: float,
) -> None:
    ended = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(RuntimeError):  # not in the main thread: tests cancel us
            asyncio.get_running_loop().add_signal_handler(number, ended.set)
    tasks = {
        asyncio.create_task(server.keep(every_seconds=every_seconds), name="certificates"),
        asyncio.create_task(served.knowledge.run(), name="watches"),
        *(asyncio.create_task(work, name=name) for name, work in keeping.items()),
        asyncio.create_task(ended.wait(), name="end"),
    }
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
