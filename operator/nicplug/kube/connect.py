"""Connects to the API server: from a pod with its service account, elsewhere with a kubeconfig.

Provides `KubeApi` for nicplug's own requests and the login for Kopf's watches. Requests that must not wait for others
have their own connections. Both read the credentials through `kubernetes.aio`, so that exec plugins and merged
kubeconfigs work for both.
"""

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import aiohttp
import kopf
from kubernetes.aio.client import Configuration
from kubernetes.aio.config import ConfigException

from nicplug.kube.aio import USER_AGENT, AioApi
from nicplug.kube.api import KubeApi, OnResponse, ServerApi, WatchingApi, count_nothing
from nicplug.kube.credentials import Load, find_credentials, with_proxy
from nicplug.kube.direct_lines import DirectLines
from nicplug.kube.kubeconfig import ConfigError as ConfigError
from nicplug.kube.listings import Listings, in_order
from nicplug.kube.pages import PageSizes, in_pages
from nicplug.kube.watch_health import WatchHealth
from nicplug.kube.watch_session import WatchResponse, counted, resource_of, response_class, trace

# One renewal, and a previous one that may still hang.
_LEASE_CONNECTIONS = 2
# One per optional watch, whose number is bounded (`cache.controller_watches`): no watch waits for another.
WATCH_CONNECTIONS = 64


@dataclass(slots=True)
class _Credentials:
    """The credentials of Kopf's watches, reloaded when the API server refuses them: tokens are rotated.

    Kopf itself would close the session that its other watches still use, and stop if it got the same credentials twice.
    """

    load: Load
    configuration: Configuration
    _are_refused: bool = False

    async def authorize(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Session middleware that sets the Authorization header."""
        try:
            if self._are_refused:
                self.configuration = await self.load()
            token = await self.configuration.get_api_key_with_prefix("BearerToken")
        except (OSError, ConfigException, ConfigError) as error:
            raise aiohttp.ClientConnectionError(f"the credentials cannot be read: {error}") from error
        if token:
            request.headers["Authorization"] = token
        response = await handler(request)
        self._are_refused = isinstance(response, WatchResponse) and response.answered == 401
        return response


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """Connection to one API server.

    Attributes:
        api: client for reads and writes.
        lease: client for the Lease only: a renewal that waits behind writes costs the leadership.
        watching: client for nicplug's own watches, each of which holds a connection.
        server: URL of the API server.
        source: origin of the configuration, for logs.
        watches: health of Kopf's watches.
        direct: diverts watch lines that need not pass through Kopf.
        listings: routes listed objects to the caches.
        kubevirt_namespace: namespace of the KubeVirt CR; of CRs in other namespaces only the identifying metadata is
            read. None reads all.
    """

    api: ServerApi
    lease: KubeApi
    watching: WatchingApi
    server: str
    source: str
    _load: Load = field(repr=False)
    _on_response: OnResponse = field(default=count_nothing, repr=False)
    watches: WatchHealth = field(default_factory=WatchHealth, repr=False)
    direct: DirectLines = field(default_factory=DirectLines, repr=False)
    listings: Listings = field(default_factory=Listings, repr=False)
    kubevirt_namespace: str | None = None

    async def credentials(self) -> kopf.ConnectionInfo:
        """Load the credentials; every call reads them again.

        Raises:
            ConfigError: the credentials are no longer readable.
        """
        return _connection_info(await self._load())

    async def login(self) -> kopf.AiohttpSession:
        """Return the session of Kopf's watches, for `@kopf.on.login`; Kopf closes it.

        Raises:
            ConfigError: the credentials are not readable.
        """
        configuration = await self._load()
        info = _connection_info(configuration)
        sizes = PageSizes()
        middlewares = (
            in_pages(sizes),
            _Credentials(self._load, configuration).authorize,
            counted(self._on_response),
        )
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=info.as_ssl_context()),
            proxy=info.proxy_url,
            trust_env=True,
            response_class=response_class(
                self.watches,
                sizes=sizes,
                direct=self.direct,
                listings=self.listings,
                kubevirt_namespace=self.kubevirt_namespace,
            ),
            trace_configs=[trace(self.watches)],
            middlewares=(in_order(self.listings, resource_of), *middlewares),
        )
        self.listings.fetch = lambda url: session.get(url, middlewares=middlewares)
        return kopf.AiohttpSession(server=info.server, aiohttp_session=session)

    async def close(self) -> None:
        """Close the connections, except those that Kopf owns."""
        for api in (self.watching, self.api, self.lease):
            await api.close()


async def connect(
    *,
    kubeconfig: Path | None,
    on_response: OnResponse = count_nothing,
    user_agent: str = USER_AGENT,
    kubevirt_namespace: str | None = None,
) -> Connection:
    """Find the API server and its credentials; sends no request.

    Args:
        kubeconfig: file to use. None: the pod's service account if there is one, else the files of $KUBECONFIG, else
            ~/.kube/config.
        on_response: called once per request, including Kopf's.
        user_agent: user agent of requests that are not Kopf's, as seen in the audit log.
        kubevirt_namespace: namespace of the KubeVirt CR; None for any namespace.

    Raises:
        ConfigError: no usable configuration.
    """
    source, load = find_credentials(kubeconfig)
    configuration = with_proxy(await load())
    pool = partial(AioApi, configuration, on_response=on_response, user_agent=user_agent)
    return Connection(
        api=pool(),
        lease=pool(connections=_LEASE_CONNECTIONS),
        watching=pool(connections=WATCH_CONNECTIONS),
        server=configuration.host,
        source=source,
        _load=load,
        _on_response=on_response,
        kubevirt_namespace=kubevirt_namespace,
    )


def _connection_info(configuration: Configuration) -> kopf.ConnectionInfo:
    scheme, _, token = configuration.api_key.get("BearerToken", "").strip().partition(" ")
    return kopf.ConnectionInfo(
        server=configuration.host,
        ca_path=configuration.ssl_ca_cert,
        insecure=not configuration.verify_ssl,
        scheme=scheme or None,
        token=token or None,
        certificate_path=configuration.cert_file,
        private_key_path=configuration.key_file,
        proxy_url=configuration.proxy,
        trust_env=True,
    )
