"""The API as a person at a terminal uses it: a context, a namespace, and perhaps somebody else's name.

For commands; the operator and the aggregated API connect by `kube.connect`.
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
    """One cluster, as a person at a terminal sees it.

    Attributes:
        api: sends requests as that person.
        context: of the kubeconfig; its namespace counts where a command is given none.
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
        impersonation: as options say; without any, the one of the kubeconfig.

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
        """Headers with one name come several times, which a dictionary of headers cannot say."""
        for name, value in impersonation.headers():
            request.headers.add(name, value)
        return await handler(request)

    async def as_virtctl(request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType) -> aiohttp.ClientResponse:
        """virtctl names no content type when it asks for a subresource."""
        if request.method == "PUT" and request.url.path.startswith(SUBRESOURCES):
            request.headers.popall("Content-Type", None)
        return await handler(request)

    return (impersonate, as_virtctl)
