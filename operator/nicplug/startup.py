"""Startup checks before the watches open: which mode fits the cluster, its CRDs, and that nobody else acts there."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeVar

import structlog

from nicplug.kube.api import Json, KubeApi, Resource, ServerApi
from nicplug.kube.errors import ApiError, Denied, Gone, Throttled, Unavailable
from nicplug.kube.resources import (
    API_SERVICES,
    CUSTOM_RESOURCE_DEFINITIONS,
    DEPLOYMENTS,
    INTERFACE_REPORTS,
    KUBEVIRTS,
    LEASES,
    VIRTUAL_MACHINE_INSTANCE_MIGRATIONS,
    VIRTUAL_MACHINE_INSTANCES,
    VIRTUAL_MACHINES,
)
from nicplug.model import rivals
from nicplug.model.definitions import what_it_drops
from nicplug.model.metadata import mapping, objects, sequence, text
from nicplug.model.mode import DEFINITION, Mode, Owner, Refusal, VirtController, decide_mode
from nicplug.model.names import BESIDE_KUBEVIRT
from nicplug.model.versions import OLDEST_KUBERNETES, TOO_OLD_REMEDY, is_too_old

log = structlog.get_logger(__name__)

T = TypeVar("T")

_FIRST_DELAY_SECONDS = 0.2
_MAXIMUM_DELAY_SECONDS = 2.0
_WATCHED = (VIRTUAL_MACHINES, VIRTUAL_MACHINE_INSTANCES, VIRTUAL_MACHINE_INSTANCE_MIGRATIONS, KUBEVIRTS)
_REPORTS = f"{INTERFACE_REPORTS.plural}.{INTERFACE_REPORTS.group}"


class StartError(Exception):
    """The operator cannot start with this configuration; the text says what to change."""


class _NotYet(Exception):
    """What startup waits for is not there yet; the text says what it is."""


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


async def check_cluster(api: ServerApi, *, mode: Mode, namespace: str, clock: Callable[[], datetime]) -> None:
    """Check what the operator depends on; nothing is written before these checks have passed.

    Raises:
        RivalError: another controller is active, or a CRD is not that of this mode.
    """
    await warn_of_old_kubernetes(api)
    await wait_for_api(api, mode=mode)
    await refuse_rivals(api, mode=mode, namespace=namespace, now=clock())


async def find_mode(api: KubeApi, *, wanted: Mode | None, clock: Callable[[], datetime]) -> Mode:
    """Return the mode that fits this cluster; waits until the API server answers and the CRDs are there.

    Args:
        wanted: the mode that was asked for; None to detect it.
        clock: current time, UTC.

    Raises:
        RivalError: the mode that was asked for does not fit, or none does.
    """

    async def look() -> Mode:
        owner, controller = await _owner(api), VirtController()
        if owner is Owner.KUBEVIRT and wanted is not Mode.STANDALONE:
            controller = await _virt_controller(api, clock=clock)
        match decide_mode(wanted=wanted, owner=owner, controller=controller):
            case Refusal() as refusal:
                raise RivalError(refusal.message, remedy=refusal.remedy)
            case None:
                raise _NotYet(f"CRD {DEFINITION} is not installed: kubectl apply -f crds/, or install KubeVirt first")
            case mode:
                log.info("mode chosen", mode=mode.value, crds_of=owner.value, virt_controller=controller.found)
                return mode

    return await _waiting(look)


async def why_mode_ends(api: KubeApi, *, mode: Mode) -> str:
    """Return why the cluster is no longer one for the mode that the process runs in; "" if it is, or is not known.

    Only KubeVirt goes while nicplug runs: nicplug waits for its own CRDs to return.
    """
    if mode is Mode.STANDALONE:
        return ""
    try:
        owner = await _owner(api)
    except _NotYet:
        return ""
    match owner:
        case Owner.KUBEVIRT:
            return ""
        case Owner.NICPLUG:
            return f"CRD {DEFINITION} is no longer KubeVirt's"
        case Owner.NOBODY:
            return f"CRD {DEFINITION} is no longer installed"


async def _owner(api: KubeApi) -> Owner:
    try:
        definition = await _definition(api, DEFINITION)
    except Gone:
        return Owner.NOBODY
    return Owner.KUBEVIRT if rivals.is_kubevirts_own(definition) else Owner.NICPLUG


async def _virt_controller(api: KubeApi, *, clock: Callable[[], datetime]) -> VirtController:
    """Look for virt-controller's Deployment, which is there while nobody runs, and for a Lease that it renews."""
    name, selector = rivals.VIRT_CONTROLLER_DEPLOYMENT, rivals.VIRT_CONTROLLER_SELECTOR
    deployments = await _named(api, DEPLOYMENTS, name, selector=selector)
    for item in deployments or []:
        metadata = mapping(item.get("metadata"))
        return VirtController(found=f"Deployment {text(metadata.get('namespace'))}/{text(metadata.get('name'))}")
    leases = await _named(api, LEASES, rivals.VIRT_CONTROLLER_LEASE)
    for rival in rivals.rivals(leases or [], namespace="", now=clock()):
        return VirtController(found=f"Lease {rival.namespace}/{rival.lease}")
    unread = {"Deployments": deployments, "Leases": leases}
    names = [kind for kind, found in unread.items() if found is None]
    return VirtController(unread=" and ".join(names), is_unknown=len(names) == len(unread))


async def refuse_rivals(api: KubeApi, *, mode: Mode, namespace: str, now: datetime) -> None:
    """Check that no other controller is active in this cluster; beside KubeVirt, virt-controller is none.

    Args:
        namespace: nicplug's own namespace, whose Lease is not a rival's.

    Raises:
        RivalError: another controller is active.
    """
    for name in rivals.LEASES if mode is Mode.STANDALONE else (rivals.NICPLUG_LEASE,):
        leases = await _named(api, LEASES, name)
        for rival in rivals.rivals(leases or [], namespace=namespace, now=now):
            raise RivalError(str(rival), remedy=rival.remedy)


async def _named(
    api: KubeApi, resource: Resource, name: str, *, selector: str | None = None
) -> list[Mapping[str, Any]] | None:
    """Return the objects of that name in all namespaces, None without the permission; waits for the API server."""
    delay = _FIRST_DELAY_SECONDS
    while True:
        try:
            found = await api.list(resource, field_selector=f"metadata.name={name}", label_selector=selector)
        except (Unavailable, Throttled) as error:
            log.warning("waiting", problem=f"cannot look for other controllers: {error}")
        except ApiError as error:
            # The permissions of an older installation, with which nicplug still works.
            log.warning("cannot look for other controllers", kind=resource.kind, name=name, error=str(error))
            return None
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


async def wait_for_api(api: KubeApi, *, mode: Mode = Mode.STANDALONE) -> None:
    """Wait until every watched CRD is established and as new as nicplug; logs what is missing whenever that changes.

    Raises:
        RivalError: a CRD is KubeVirt's own in standalone mode, or nicplug's beside KubeVirt.
    """

    async def look() -> None:
        for resource in _WATCHED:
            name = f"{resource.plural}.{resource.group}"
            how = "kubectl apply -f crds/" if mode is Mode.STANDALONE else "KubeVirt is not installed completely"
            _refuse_foreign(await _established(api, name, how=how), name=name, mode=mode)
        if mode is Mode.COMPANION:
            await _established(api, _REPORTS, how="kubectl apply -f crds/nicplug.io/")

    await _waiting(look)


def _refuse_foreign(definition: Json, *, name: str, mode: Mode) -> None:
    """Check that the CRD is of the party that runs the VMs.

    Raises:
        _NotYet: it is nicplug's, and older than this nicplug.
        RivalError: it is the other party's.
    """
    is_theirs = rivals.is_kubevirts_own(definition)
    if mode is Mode.COMPANION:
        if not is_theirs:
            remedy = f"Remove it, so that virt-operator installs KubeVirt's again: {BESIDE_KUBEVIRT}."
            raise RivalError(f"CRD {name} is nicplug's, and KubeVirt runs in this cluster", remedy=remedy)
        return
    if is_theirs:
        remedy = f"If KubeVirt has been removed for good, replace its CRDs: {BESIDE_KUBEVIRT}."
        raise RivalError(f"CRD {name} is KubeVirt's own, and nicplug does not work with it", remedy=remedy)
    if what := what_it_drops(definition):
        raise _NotYet(f"CRD {name} is older than this nicplug, and drops {what}: kubectl apply -f crds/")


async def _established(api: KubeApi, name: str, *, how: str) -> Json:
    """Return an established CRD.

    Args:
        how: what to say if it is not installed.

    Raises:
        _NotYet: it is not installed, not established, or cannot be read.
    """
    try:
        definition = await _definition(api, name)
    except Gone:
        raise _NotYet(f"CRD {name} is not installed: {how}") from None
    conditions = sequence(mapping(definition.get("status")).get("conditions"))
    if not any(row.get("type") == "Established" and row.get("status") == "True" for row in conditions):
        raise _NotYet(f"CRD {name} is not established yet")
    return definition


async def _definition(api: KubeApi, name: str) -> Json:
    """Read a CRD.

    Raises:
        Gone: it is not installed.
        _NotYet: it cannot be read.
    """
    try:
        return await api.get(CUSTOM_RESOURCE_DEFINITIONS, name=name)
    except Gone:
        raise
    except Denied as error:
        raise _NotYet(f"{error}. {error.remedy}") from error
    except ApiError as error:
        raise _NotYet(f"the API server does not answer as it should: {error}") from error


async def _waiting(look: Callable[[], Awaitable[T]]) -> T:
    """Return what `look` returns once it does not raise `_NotYet`; logs the problem whenever it changes."""
    said, delay = "", _FIRST_DELAY_SECONDS
    while True:
        try:
            return await look()
        except _NotYet as error:
            if str(error) != said:
                said = str(error)
                log.warning("waiting", problem=said)
        await asyncio.sleep(delay)
        delay = min(delay * 2, _MAXIMUM_DELAY_SECONDS)
