"""Protects the port of /metrics as configured: TLS from files, and authorization of readers."""

import asyncio
import ssl
import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Self

import structlog

from nicplug.apiserver.certificates import FileCertificate
from nicplug.apiserver.key_pairs import KeyPair, SwitchingContext, UnusableKeyPair, serving_context
from nicplug.kube.api import KubeApi
from nicplug.metrics_settings import MetricsSettings
from nicplug.obs.guard import MetricsGuard
from nicplug.startup import BadSetting

log = structlog.get_logger(__name__)

REFRESH_SECONDS = 10.0


@dataclass(slots=True, kw_only=True)
class MetricsProtection:
    """Protection of the metrics of one process.

    Attributes:
        guard: decides who may read the metrics; None lets every client read them.
    """

    guard: MetricsGuard | None = None
    _variable: str = ""
    _source: FileCertificate | None = None
    _context: SwitchingContext = field(default_factory=SwitchingContext)
    _served: KeyPair | None = None
    _problem: str = ""

    @classmethod
    def of(cls, settings: MetricsSettings, api: KubeApi) -> Self:
        """Create the protection from the settings; reads no file yet."""
        files = settings.metrics_tls_files
        is_reviewed = settings.metrics_authentication == "token-review"
        return cls(
            guard=MetricsGuard(api=api, clock=time.monotonic) if is_reviewed else None,
            _variable=f"{settings.model_config.get('env_prefix') or ''}METRICS_TLS_CERT_FILE",
            _source=FileCertificate(certificate=files[0], key=files[1]) if files else None,
        )

    @property
    def tls(self) -> ssl.SSLContext | None:
        """Return the TLS context to serve with; None for plain HTTP."""
        return self._context if self._source is not None else None

    @property
    def expires(self) -> datetime | None:
        """Return when the certificate in use expires; None without one."""
        return self._served.expires if self._served is not None else None

    async def load(self) -> None:
        """Read the certificate before the port is opened.

        Raises:
            BadSetting: it cannot be used; names the variable.
        """
        if self._source is not None:
            try:
                await self._read(self._source)
            except UnusableKeyPair as error:
                raise BadSetting(f"{self._variable} and its key cannot be used: {error}") from error

    async def keep(self, *, every_seconds: float = REFRESH_SECONDS) -> None:
        """Follow renewals until cancelled; an unusable certificate leaves the current one in use."""
        while True:
            await asyncio.sleep(every_seconds)
            if self._source is None:
                continue
            try:
                await self._read(self._source)
                problem = ""
            except UnusableKeyPair as error:
                problem = str(error)
            if problem and problem != self._problem:
                log.warning("new certificate for metrics cannot be used; the one in use stays", error=problem)
            self._problem = problem

    async def _read(self, source: FileCertificate) -> None:
        pair = await source.current()
        if pair != self._served:
            self._context.current, self._served = serving_context(pair, None), pair
            log.info("serving metrics with a new certificate")
