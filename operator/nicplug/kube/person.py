"""API access of a user at a terminal: a kubeconfig context, a namespace, and optionally impersonation.

For commands; the operator and the aggregated API connect through `kube.connect`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from nicplug.kube.aio import AioApi
from nicplug.kube.credentials import find_credentials, is_in_cluster, load_kubeconfig, unusable_certificate, with_proxy
from nicplug.kube.kubeconfig import ConfigError, Impersonation, KubeconfigContext, kubeconfig_paths, read_context

SUBRESOURCES = "/apis/subresources.kubevirt.io/"


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonalConnection:
    """Connection of a user to one cluster.

    Attributes:
        api: sends requests as that user.
        context: context of the kubeconfig; its namespace is the default of commands.
        server: URL of the API server.
    """

    api: AioApi
    context: KubeconfigContext
    server: str


async def connect_person(
    *, kubeconfig: Path | None, context: str | None, impersonation: Impersonation, user_agent: str
) -> PersonalConnection:
    """Find the API server as kubectl does; sends no request.

    Args:
        impersonation: from command-line options; if it is empty, the kubeconfig's applies.

    Raises:
        ConfigError: no usable kubeconfig.
    """
    if kubeconfig is None and context is None and is_in_cluster():
        _, load = find_credentials(None)
        configuration, chosen = await load(), KubeconfigContext(name="service account")
    else:
        paths = kubeconfig_paths(kubeconfig)
        chosen = read_context(paths, context=context)
        configuration = await load_kubeconfig(paths, context=chosen.name)
    with_proxy(configuration)
    acting = impersonation if impersonation != Impersonation() else chosen.impersonation
    try:
        api = AioApi(configuration, user_agent=user_agent, middlewares=_middlewares(acting))
    except OSError as error:
        raise ConfigError(unusable_certificate(chosen, configuration, error)) from error
    return PersonalConnection(api=api, context=chosen, server=configuration.host)


def _middlewares(impersonation: Impersonation) -> Sequence[aiohttp.ClientMiddlewareType]:
    async def impersonate(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        """Add the headers here: they may repeat a name, which a dictionary of headers cannot represent."""
        for name, value in impersonation.headers():
            request.headers.add(name, value)
        return await handler(request)

    async def as_virtctl(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        """Remove the content type of requests for subresources, which virtctl sends without one."""
        if request.method == "PUT" and request.url.path.startswith(SUBRESOURCES):
            request.headers.popall("Content-Type", None)
        return await handler(request)

    return (impersonate, as_virtctl)
