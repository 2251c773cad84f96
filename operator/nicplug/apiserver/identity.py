"""Keeps the server's identity up to date: its certificate, and the front proxy that it trusts.

A failed read keeps the previous state. A successful read that trusts no front proxy takes effect.
"""

import asyncio
import json
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import structlog

from nicplug.apiserver.calls import Caller
from nicplug.apiserver.certificates import CertificateSource
from nicplug.apiserver.key_pairs import KeyPair, SwitchingContext, UnusableKeyPair, serving_context
from nicplug.apiserver.trust import (
    FrontProxyTrust,
    Headers,
    UnusableTrust,
    caller_of,
    parse_trust,
    refuse_certificate,
)
from nicplug.kube.api import ServerApi
from nicplug.kube.errors import ApiError, Gone
from nicplug.kube.resources import CONFIG_MAPS
from nicplug.model.metadata import mapping

log = structlog.get_logger(__name__)

_PROBLEM_SECONDS = 1.0
TRUST_NAMESPACE = "kube-system"
TRUST_CONFIG_MAP = "extension-apiserver-authentication"
_TRUST_REMEDY = (
    "bind Role extension-apiserver-authentication-reader in kube-system to the ServiceAccount, "
    "and start kube-apiserver with --requestheader-client-ca-file"
)


@dataclass(frozen=True, slots=True)
class Stranger:
    """A request from an unauthenticated caller.

    Attributes:
        why: for the log; the answer only says that the request is unauthorized.
    """

    why: str


@dataclass(slots=True, kw_only=True)
class Identity:
    """The TLS side of one server.

    Attributes:
        tls: TLS context to listen with.
        on_switch: called when the existing connections are no longer trusted.
        now: seconds since the epoch.
        problem: why the server cannot serve or trusts no front proxy; "" if all is well.
    """

    api: ServerApi
    source: CertificateSource
    now: Callable[[], float] = time.time
    on_switch: Callable[[], None] = lambda: None
    tls: SwitchingContext = field(default_factory=SwitchingContext)
    problem: str = "not started"
    _pair: KeyPair | None = None
    _trust: FrontProxyTrust | None = None
    _served: tuple[KeyPair, FrontProxyTrust | None] | None = None
    _reported: dict[str, str] = field(default_factory=dict)

    @property
    def review_token(self) -> str | None:
        """Return the last segment of the webhook's path; None while there is no serving certificate."""
        return self.source.review_token(self._pair) if self._pair is not None else None

    @property
    def expires(self) -> datetime | None:
        """Return when the serving certificate expires; None while there is none."""
        return self._served[0].expires if self._served is not None else None

    async def keep(self, *, every_seconds: float) -> None:
        """Refresh until cancelled; more often while something is missing."""
        while True:
            await asyncio.sleep(min(every_seconds, _PROBLEM_SECONDS) if self.problem else every_seconds)
            await self.refresh()

    async def refresh(self) -> None:
        """Read the certificate and the front proxy's description, and switch to them if they have changed."""
        trust_problem = await self._read_trust()
        pair_problem = await self._read_pair()
        if self._pair is not None and self._served != (self._pair, self._trust):
            trust_problem = self._switch(self._pair) or trust_problem
        self._report("front proxy", trust_problem, remedy=_TRUST_REMEDY)
        self._report("serving certificate", pair_problem, remedy="see the error; the one in use stays in use")
        unserved = pair_problem if self._pair is None else ""
        untrusted = (trust_problem or "not read yet") if self._trust is None else ""
        self.problem = unserved or untrusted

    async def _read_trust(self) -> str:
        """Update `_trust`; returns the problem, or ""."""
        try:
            content = await self.api.read(CONFIG_MAPS, name=TRUST_CONFIG_MAP, namespace=TRUST_NAMESPACE)
            self._trust = parse_trust(mapping(json.loads(content).get("data")))
        except (Gone, UnusableTrust) as error:
            self._trust = None
            return str(error)
        except ApiError as error:
            return str(error)
        return ""

    async def _read_pair(self) -> str:
        """Update `_pair`; returns the problem, or ""."""
        try:
            self._pair = await self.source.current()
        except (UnusableKeyPair, ApiError) as error:
            return str(error)
        return ""

    def _switch(self, pair: KeyPair) -> str:
        """Use the current pair and CAs for new connections; returns the problem with the front proxy's CAs, or ""."""
        problem = ""
        try:
            context = serving_context(pair, self._trust)
        except UnusableTrust as error:
            problem, self._trust = str(error), None
            context = serving_context(pair, None)
        self.tls.current, self._served = context, (pair, self._trust)
        log.info("serving with a new certificate or front-proxy CA")
        self.on_switch()
        return problem

    def _report(self, part: str, problem: str, *, remedy: str) -> None:
        """Log each problem once, not at every refresh."""
        if problem and self._reported.get(part) != problem:
            log.warning("cannot be used", part=part, error=problem, remedy=remedy)
        self._reported[part] = problem

    def identify(self, transport: asyncio.BaseTransport | None, headers: Headers) -> Caller | Stranger:
        """Return the user who sends requests on this connection."""
        tls = transport.get_extra_info("ssl_object") if transport is not None else None
        trust = self._served[1] if self._served else None
        if not isinstance(tls, ssl.SSLObject) or trust is None:
            return Stranger("no front proxy is known")
        if tls.context is not self.tls.current:
            return Stranger("the connection was verified with a former certificate or CA")
        certificate: Mapping[str, Any] | None = tls.getpeercert()
        if why := refuse_certificate(trust, certificate, now=self.now()):
            return Stranger(why)
        return caller_of(trust, headers) or Stranger("the front proxy names no user")
