"""Where the API server is and who we are: in a pod from the service account, elsewhere from a kubeconfig.

Gives the two users of that knowledge what they need: `KubeApi` for our own requests, and
Kopf's login for its watches. What must not wait for anything else has connections of its own.
Both read the credentials through `kubernetes.aio`, so that exec plugins and merged kubeconfigs
work for both alike.
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

# A renewal, and the one before it that still hangs.
_LEASE_CONNECTIONS = 2
# One for each optional watch, which are bounded (`cache.controller_watches`): none ever waits for another one's.
WATCH_CONNECTIONS = 64


@dataclass(slots=True)
class _Credentials:
    """Who the watches are: read anew when the API server refuses them, so that a rotated token is picked up.

    Kopf's own way is to close the session that its other watches still use, and to end when it gets the same
    credentials twice.
    """

    load: Load
    configuration: Configuration
    _are_refused: bool = False

    async def authorize(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """A middleware of the session."""
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
    """One API server.

    Attributes:
        api: for reads and writes.
        lease: for the Lease alone: a renewal that waits behind writes costs the leadership.
        watching: for the watches that nicplug keeps itself, each of which holds a connection.
        server: URL of the API server.
        source: where the configuration came from, for logs.
        watches: how the watches fare that Kopf keeps.
        direct: which of their lines do not go through Kopf.
        listings: who takes what they list.
        kubevirt_namespace: where the KubeVirt CR lies; of those elsewhere only what names them is read.
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
        """Who we are, read anew on every call.

        Raises:
            ConfigError: the credentials are no longer readable.
        """
        return _connection_info(await self._load())

    async def login(self) -> kopf.AiohttpSession:
        """The session of Kopf's watches, for `@kopf.on.login`; Kopf closes it.

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
        """Close the connections; those of Kopf are Kopf's to close."""
        for api in (self.watching, self.api, self.lease):
            await api.close()


async def connect(
    *,
    kubeconfig: Path | None,
    on_response: OnResponse = count_nothing,
    user_agent: str = USER_AGENT,
    kubevirt_namespace: str | None = None,
) -> Connection:
    """Find the API server; sends no request.

    Args:
        kubeconfig: file to use. None: the pod's service account if there is one, else the files of
            $KUBECONFIG, else ~/.kube/config.
        on_response: called once per request, also of Kopf's.
        user_agent: how requests that are not Kopf's name themselves, as seen in the audit log.
        kubevirt_namespace: where the KubeVirt CR lies; None for any namespace.

    Raises:
        ConfigError: nothing usable there.
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
