"""Loads the credentials for the API server: in a pod from the service account, elsewhere from a kubeconfig.

Reads them through `kubernetes.aio`, so that exec plugins and merged kubeconfigs work. Knows nothing of Kopf: commands
that only query the cluster do not load it.
"""

import os
import ssl
import time
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import yaml
from kubernetes.aio.client import Configuration
from kubernetes.aio.config import ConfigException, incluster_config, load_incluster_config, load_kube_config

from nicplug.kube.credential_plugin import errors_of_library, plugin_problem
from nicplug.kube.kubeconfig import ConfigError, KubeconfigContext, kubeconfig_paths, read_context

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")

# The kubelet renews a token long before it expires. If it is late, requests fail for at most this long after the
# renewal.
_TOKEN_SECONDS = 10.0

Load = Callable[[], Coroutine[None, None, Configuration]]


def find_credentials(kubeconfig: Path | None) -> tuple[str, Load]:
    """Return the source of the credentials, for logs, and the function that loads them.

    Args:
        kubeconfig: file to use. None: the pod's service account if there is one, else the files of $KUBECONFIG, else
            ~/.kube/config.
    """
    if kubeconfig is None and is_in_cluster():
        return "service account", load_in_cluster
    source = kubeconfig_paths(kubeconfig)
    return source, partial(load_kubeconfig, source)


def is_in_cluster() -> bool:
    """True if this process runs in a pod that has a service account."""
    return (SERVICE_ACCOUNT / "token").is_file() and bool(os.environ.get("KUBERNETES_SERVICE_HOST"))


def with_proxy(configuration: Configuration) -> Configuration:
    """Set the proxy from the environment unless the configuration has one; returns the configuration."""
    if configuration.proxy is None:
        configuration.proxy = _proxy_of_environment(configuration.host)
    return configuration


def _proxy_of_environment(server: str) -> str | None:
    """Return the proxy for the API server from $HTTPS_PROXY, $HTTP_PROXY and $NO_PROXY, as kubectl does."""
    url = urlsplit(server)
    if url.hostname is None or proxy_bypass(url.hostname):
        return None
    return getproxies().get(url.scheme)


async def load_in_cluster(*, clock: Callable[[], float] = time.monotonic) -> Configuration:
    """Load the pod's service account; requests reload its token if the last read is more than ten seconds ago.

    Args:
        clock: monotonic seconds.

    Raises:
        ConfigError: the service account cannot be used.
    """
    configuration = Configuration()
    try:
        load_incluster_config(configuration, try_refresh_token=False)  # type: ignore[no-untyped-call]
    except (ConfigException, OSError) as error:
        raise ConfigError(
            f"the service account in {SERVICE_ACCOUNT} cannot be used: {error}. "
            "Check automountServiceAccountToken of the pod, or give --kubeconfig."
        ) from error
    _refresh_from_file(configuration, clock=clock)
    return configuration


def _refresh_from_file(configuration: Configuration, *, clock: Callable[[], float]) -> None:
    """Make the configuration pick up a token that the kubelet has renewed.

    The library's refresh uses the wall clock: if that is set back by hours, it does not refresh for as long, and the
    token expires before.
    """
    path, read_at = Path(incluster_config.SERVICE_TOKEN_FILENAME), clock()

    def refresh(current: Configuration) -> None:
        nonlocal read_at
        if clock() < read_at + _TOKEN_SECONDS:
            return
        token = path.read_text().strip()
        if not token:
            raise ConfigException(f"{path} is empty")
        current.api_key["BearerToken"] = f"bearer {token}"
        read_at = clock()

    configuration.refresh_api_key_hook = refresh  # type: ignore[assignment]


async def load_kubeconfig(paths: str, *, context: str | None = None) -> Configuration:
    """Load one context of the kubeconfig files.

    Args:
        context: name of the context; None for the current one.

    Raises:
        ConfigError: the files, or the files that they name, cannot be used; the text says why.
    """
    chosen = read_context(paths, context=context)
    configuration = Configuration()
    try:
        with errors_of_library() as errors:
            loader = await load_kube_config(  # type: ignore[no-untyped-call]
                config_file=paths, context=context, client_configuration=configuration, persist_config=False
            )
    except (ConfigException, OSError, yaml.YAMLError, TypeError, ValueError, AttributeError) as error:
        remedy = f"Try it with: kubectl --kubeconfig {paths} version"
        raise ConfigError(f"kubeconfig {paths} cannot be used: {error}. {remedy}") from error
    has_credentials = configuration.api_key.get("BearerToken") or configuration.cert_file
    if chosen.plugin is not None and not has_credentials:
        raise ConfigError(plugin_problem(chosen.plugin, errors, user=chosen.user, paths=paths))
    _refresh_by_plugin(loader, configuration)
    return configuration


def unusable_certificate(context: KubeconfigContext, configuration: Configuration, error: OSError) -> str:
    """Explain which certificate cannot be used, with the remedy. The CA is loaded before the client certificate."""
    try:
        ssl.create_default_context(cafile=configuration.ssl_ca_cert, cadata=configuration.ca_cert_data)
    except OSError:
        whose, field = f'the CA of cluster "{context.cluster}"', "certificate-authority"
        return f"{whose} in the kubeconfig cannot be used: correct {field} or {field}-data"
    fields = "client-certificate and client-key, or client-certificate-data and client-key-data"
    detail = f" ({error.reason})" if isinstance(error, ssl.SSLError) and error.reason else ""
    who = f'the client certificate or key of user "{context.user}" in the kubeconfig'
    return f"{who} cannot be used{detail}: correct {fields}"


def _refresh_by_plugin(loader: Any, configuration: Configuration) -> None:
    """Run the exec plugin of a kubeconfig again when its token has expired, and only then.

    The library implements this, but leaves it to the caller to run it in a task.
    """
    if not hasattr(loader, "exec_plugin_expiry"):
        return

    async def refresh(current: Configuration) -> None:
        await loader.load_from_exec_plugin()
        current.api_key["BearerToken"] = loader.token

    configuration.refresh_api_key_hook = refresh  # type: ignore[assignment]
