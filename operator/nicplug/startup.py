"""Startup checks before the watches open: the API server answers, the CRDs are ours, no other controller uses them."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import structlog

from nicplug.kube.api import Json, KubeApi, ServerApi
from nicplug.kube.errors import ApiError, Denied, Gone, Throttled, Unavailable
from nicplug.kube.resources import (
    API_SERVICES,
    CUSTOM_RESOURCE_DEFINITIONS,
    KUBEVIRTS,
    LEASES,
    VIRTUAL_MACHINE_INSTANCE_MIGRATIONS,
    VIRTUAL_MACHINE_INSTANCES,
    VIRTUAL_MACHINES,
)
from nicplug.model import rivals
from nicplug.model.definitions import what_it_drops
from nicplug.model.metadata import mapping, objects, sequence, text
from nicplug.model.versions import OLDEST_KUBERNETES, TOO_OLD_REMEDY, is_too_old

log = structlog.get_logger(__name__)

_FIRST_DELAY_SECONDS = 0.2
_MAXIMUM_DELAY_SECONDS = 2.0
_WATCHED = (VIRTUAL_MACHINES, VIRTUAL_MACHINE_INSTANCES, VIRTUAL_MACHINE_INSTANCE_MIGRATIONS, KUBEVIRTS)


class StartError(Exception):
    """The operator cannot start with this configuration; the text says what to change."""


class BadSetting(StartError):
    """A setting turns out to be wrong only when it is used; the text names its variable."""


class RivalError(StartError):
    """Another controller acts on the same objects, or another server serves the same API: nicplug refuses to start.

    Attributes:
        remedy: what to do.
    """

    def __init__(self, message: str, *, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


_BESIDE = 'docs/install.md, "Beside KubeVirt".'


async def check_cluster(api: ServerApi, *, namespace: str, clock: Callable[[], datetime]) -> None:
    """Check what the operator depends on; nothing is written before these checks have passed.

    Raises:
        RivalError: another controller is active, or a CRD is KubeVirt's own.
    """
    await warn_of_old_kubernetes(api)
    await wait_for_api(api)
    await refuse_rivals(api, namespace=namespace, now=clock())


async def refuse_rivals(api: KubeApi, *, namespace: str, now: datetime) -> None:
    """Check that no other controller is active in this cluster.

    Args:
        namespace: nicplug's own namespace, whose Lease is not a rival's.

    Raises:
        RivalError: another controller is active.
    """
    for name in rivals.LEASES:
        for rival in rivals.rivals(await _leases(api, name), namespace=namespace, now=now):
            raise RivalError(str(rival), remedy=rival.remedy)


async def _leases(api: KubeApi, name: str) -> list[Mapping[str, Any]]:
    """Return the Leases of that name in all namespaces; waits while the API server does not answer."""
    delay = _FIRST_DELAY_SECONDS
    while True:
        try:
            found = await api.list(LEASES, field_selector=f"metadata.name={name}")
        except (Unavailable, Throttled) as error:
            log.warning("waiting", problem=f"cannot look for other controllers: {error}")
        except ApiError as error:
            # The permissions of an older installation, with which nicplug still works.
            log.warning("cannot look for other controllers", lease=name, error=str(error))
            return []
        else:
            return list(objects(found.get("items")))
        await asyncio.sleep(delay)
        delay = min(delay * 2, _MAXIMUM_DELAY_SECONDS)


async def refuse_other_servers(api: KubeApi, *, names: Sequence[str], namespace: str, service: str) -> None:
    """Check that no other server serves these APIServices.

    Args:
        namespace: namespace of nicplug's own Service.
        service: name of nicplug's own Service.

    Raises:
        RivalError: another server serves one of them.
    """
    for name in names:
        try:
            found = await api.get(API_SERVICES, name=name)
        except ApiError:
            continue  # not registered yet, or cert-manager writes the CA and nicplug may not read it
        serves = mapping(mapping(found.get("spec")).get("service"))
        where = (text(serves.get("namespace")), text(serves.get("name")))
        if serves and where != (namespace, service):
            remedy = f"Remove what serves it, and APIService {name} if nothing does: {_BESIDE}"
            raise RivalError(f"APIService {name} belongs to Service {'/'.join(where)}", remedy=remedy)


async def warn_of_old_kubernetes(api: ServerApi) -> None:
    """Warn if the API server is older than any that accepts nicplug's CRDs, which then cannot be installed."""
    try:
        version = text((await api.version()).get("gitVersion"))
    except ApiError:
        return  # nothing depends on it, and `wait_for_api` reports why the API server does not answer
    if is_too_old(version):
        log.warning("Kubernetes is too old", version=version, oldest=OLDEST_KUBERNETES, remedy=TOO_OLD_REMEDY)


async def wait_for_api(api: KubeApi) -> None:
    """Wait until every watched CRD is established and as new as nicplug; logs what is missing whenever that changes.

    Raises:
        RivalError: a CRD is KubeVirt's own.
    """
    said, delay = "", _FIRST_DELAY_SECONDS
    while problem := await _problem(api):
        if problem != said:
            log.warning("waiting", problem=problem)
            said = problem
        await asyncio.sleep(delay)
        delay = min(delay * 2, _MAXIMUM_DELAY_SECONDS)


async def _problem(api: KubeApi) -> str:
    for resource in _WATCHED:
        name = f"{resource.plural}.{resource.group}"
        try:
            definition = await api.get(CUSTOM_RESOURCE_DEFINITIONS, name=name)
        except Gone:
            return f"CRD {name} is not installed: kubectl apply -f crds/"
        except Denied as error:
            return f"{error}. {error.remedy}"
        except ApiError as error:
            return f"the API server does not answer as it should: {error}"
        if rivals.is_kubevirts_own(definition):
            remedy = f"If KubeVirt has been removed for good, replace its CRDs: {_BESIDE}"
            raise RivalError(f"CRD {name} is KubeVirt's own, and nicplug does not work with it", remedy=remedy)
        if not _is_established(definition):
            return f"CRD {name} is not established yet"
        if what := what_it_drops(definition):
            return f"CRD {name} is older than this nicplug, and drops {what}: kubectl apply -f crds/"
    return ""


def _is_established(definition: Json) -> bool:
    conditions = sequence(mapping(definition.get("status")).get("conditions"))
    return any(row.get("type") == "Established" and row.get("status") == "True" for row in conditions)
