"""What the server is at this moment: its certificate, and the front proxy that it believes. Kept up to date.

What cannot be read for a while stays as it was. What can be read, and says that nobody is to be believed, counts.
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
    """A request that nobody vouches for.

    Attributes:
        why: for the log; the answer says only that it is unauthorized.
    """

    why: str


@dataclass(slots=True, kw_only=True)
class Identity:
    """The TLS side of one server.

    Attributes:
        tls: what the server listens with.
        on_switch: called when connections made so far no longer count.
        now: seconds since the epoch.
        problem: what keeps the server from believing anybody, or from serving; "" for nothing.
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
        """What the path of the webhook ends with; None while there is no certificate to serve with."""
        return self.source.review_token(self._pair) if self._pair is not None else None

    @property
    def expires(self) -> datetime | None:
        """When the certificate that is served with expires; None while there is none."""
        return self._served[0].expires if self._served is not None else None

    async def keep(self, *, every_seconds: float) -> None:
        """Refresh until cancelled; more often while something is missing."""
        while True:
            await asyncio.sleep(min(every_seconds, _PROBLEM_SECONDS) if self.problem else every_seconds)
            await self.refresh()

    async def refresh(self) -> None:
        """Read the certificate and the front proxy's description again, and switch to what has changed."""
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
        """Update `_trust`; what is wrong with it."""
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
        """Update `_pair`; what is wrong with it."""
        try:
            self._pair = await self.source.current()
        except (UnusableKeyPair, ApiError) as error:
            return str(error)
        return ""

    def _switch(self, pair: KeyPair) -> str:
        """Serve new connections with what is known now; what is wrong with the front proxy's CAs."""
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
        """Once per problem, not once per refresh."""
        if problem and self._reported.get(part) != problem:
            log.warning("cannot be used", part=part, error=problem, remedy=remedy)
        self._reported[part] = problem

    def identify(self, transport: asyncio.BaseTransport | None, headers: Headers) -> Caller | Stranger:
        """Who asks on this connection."""
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
