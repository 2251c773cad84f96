"""Checks of the operator and the aggregated API: leader, replicas, versions, rivals, registration."""

import contextlib
import json
from collections.abc import Coroutine
from typing import Any

from nicplug import __version__
from nicplug.cli.connection import START_SANDBOX, Session
from nicplug.cli.doctor.certificates import check_certificates
from nicplug.cli.doctor.evictions import check_evictions
from nicplug.cli.doctor.finding import Finding, ok, problem, unknown, warning
from nicplug.cli.doctor.policies import check_policies
from nicplug.cli.machines import now
from nicplug.cli.operator_health import read_leader
from nicplug.cli.subresources import server_version
from nicplug.kube.api import Resource
from nicplug.kube.errors import APPLY_MANIFESTS, ApiError, Denied, Gone
from nicplug.kube.resources import API_SERVICES, LEASES
from nicplug.model import rivals
from nicplug.model.conditions import find_condition
from nicplug.model.metadata import mapping, objects, text
from nicplug.model.mode import Mode
from nicplug.model.versions import OLDEST_KUBERNETES, TOO_OLD_REMEDY, is_too_old, nicplug_version_in

_DEPLOYMENTS = Resource(group="apps", version="v1", plural="deployments", kind="Deployment")
_INSTALL = "install nicplug (docs/install.md)"
API = "v1.subresources.kubevirt.io"
_OLDER_API = "v1alpha3.subresources.kubevirt.io"
OPERATOR = "nicplug-operator"
_API_SERVER = "nicplug-api"


async def check_versions(session: Session, *, namespace: str, has_api: bool = True) -> list[Finding]:
    """Check the versions of command, operator and aggregated API, which should be equal, and of the API server.

    Args:
        has_api: nicplug serves the aggregated API, rather than KubeVirt.
    """
    kubernetes = json.loads(await session.api.request("GET", "/version"))
    parts = {"this command": __version__, **await _versions(session, namespace=namespace, has_api=has_api)}
    summary = ", ".join(f"{version} ({part})" for part, version in parts.items())
    server = text(kubernetes.get("gitVersion"))
    summary = f"nicplug {summary}; API server {server}"
    old = f"Kubernetes {server} is older than {OLDEST_KUBERNETES}, the oldest that nicplug supports"
    found = [problem("versions", old, TOO_OLD_REMEDY)] if is_too_old(server) else []
    if all(version == __version__ for version in parts.values()):
        return [ok("versions", summary), *found]
    remedy = f"Install nicplug {__version__} everywhere (docs/install.md), or use the command of the version that runs."
    return [warning("versions", summary, remedy), *found]


async def _versions(session: Session, *, namespace: str, has_api: bool) -> dict[str, str]:
    """Return the running versions that can be read; other checks report whether the processes run."""
    found = {}
    with contextlib.suppress(ApiError):
        found["operator"] = (await read_leader(session, namespace=namespace)).version
    if not has_api:
        return {part: version for part, version in found.items() if version}
    with contextlib.suppress(ApiError):
        served = text((await server_version(session)).get("gitVersion"))
        found["aggregated API"] = nicplug_version_in(served) or (served and f"not nicplug's, but {served}")
    return {part: version for part, version in found.items() if version}


async def check_leader(session: Session, *, namespace: str) -> list[Finding]:
    """Check that a replica holds the Lease and renews it."""
    leader = await read_leader(session, namespace=namespace)
    if not leader.is_known:
        return [unknown("leader", leader.problem)]
    if leader.problem:
        return [problem("leader", leader.problem, await _inspection(session, OPERATOR, namespace=namespace))]
    seconds = (now() - leader.renewed).total_seconds() if leader.renewed is not None else 0.0
    return [ok("leader", f"{leader.holder}, renewed {max(0.0, seconds):.0f}s ago")]


async def _inspection(session: Session, name: str, *, namespace: str) -> str:
    """Return what to inspect if it does not work: the Deployment, or without one, the process."""
    try:
        await session.api.get(_DEPLOYMENTS, name=name, namespace=namespace)
    except Gone:
        if session.is_sandbox:
            return f"Start it again: {START_SANDBOX}"
        found = f"There is no Deployment {namespace}/{name}"
        return (
            f"{found}. If it is run by hand, look at its process and log (in a sandbox: nicplug sandbox status); if it "
            f"runs in another namespace, give --operator-namespace; else {_INSTALL}"
        )
    except Denied:
        pass  # a user without permission for the Deployment knows whom to ask
    return f"kubectl -n {namespace} get pods; kubectl -n {namespace} logs deploy/{name}"


async def check_deployment(session: Session, *, namespace: str) -> list[Finding]:
    """Check that the operator's replicas are ready, and report their images."""
    try:
        found = await session.api.get(_DEPLOYMENTS, name=OPERATOR, namespace=namespace)
    except Gone:
        leader = await read_leader(session, namespace=namespace)
        if not leader.problem:
            return [ok("operator", f"runs without a Deployment, as {leader.holder}")]
        if session.is_sandbox:
            return []  # the leader check reports that it does not run, and how to start it
        remedy = f"Unless the operator is run by hand, {_INSTALL}."
        return [warning("operator", f"there is no Deployment {namespace}/{OPERATOR}", remedy)]
    except Denied as error:
        return [unknown("operator", str(error))]
    status, spec = mapping(found.get("status")), mapping(found.get("spec"))
    wanted, ready = spec.get("replicas"), status.get("readyReplicas") or 0
    pod = mapping(mapping(spec.get("template")).get("spec"))
    images = ", ".join(text(item.get("image")) for item in objects(pod.get("containers")))
    summary = f"{ready} of {wanted} replicas are ready ({images})"
    if not ready:
        remedy = f"kubectl -n {namespace} describe deploy/{OPERATOR}"
        return [problem("operator", summary, remedy)]
    if ready == 1:
        return [warning("operator", summary, "With two replicas one stands by: nothing waits for a restart.")]
    return [ok("operator", summary)]


async def check_rivals(session: Session, *, namespace: str, mode: Mode = Mode.STANDALONE) -> list[Finding]:
    """Check that no other nicplug acts on the same objects; in standalone mode, that no virt-controller does."""
    found = []
    for name in rivals.LEASES if mode is Mode.STANDALONE else (rivals.NICPLUG_LEASE,):
        try:
            page = await session.api.list(LEASES, field_selector=f"metadata.name={name}")
        except ApiError:
            continue
        found += rivals.rivals(objects(page.get("items")), namespace=namespace, now=now())
    return [problem("rivals", str(rival), rival.remedy) for rival in found]


async def check_api(session: Session, *, namespace: str) -> list[Finding]:
    """Check that virtctl and `nicplug add` reach the aggregated API."""
    try:
        found = await session.api.get(API_SERVICES, name=API)
    except Gone:
        return [await _not_registered(session, namespace=namespace)]
    except Denied as error:
        return [unknown("api", str(error))]
    others = await check_certificates(session, found, namespace=namespace, at=now())
    others.append(await check_evictions(session, found))
    available = find_condition(objects(mapping(found.get("status")).get("conditions")), "Available") or {}
    if available.get("status") != "True":
        remedy = await _inspection(session, _API_SERVER, namespace=namespace)
        cause = f"{text(available.get('reason'))}: {text(available.get('message'))}"
        # An expired certificate is one possible cause.
        return [problem("api", f"APIService {API} is not available: {cause}", remedy), *others]
    return [await _answers(session, namespace=namespace), *await _check_older(session), *others]


async def _not_registered(session: Session, *, namespace: str) -> Finding:
    """Return a warning if the API is not installed, and a problem if its Deployment exists."""
    message = f"APIService {API} is not registered"
    try:
        await session.api.get(_DEPLOYMENTS, name=_API_SERVER, namespace=namespace)
    except Gone:
        if session.is_sandbox:
            return warning("api", message, f"Start it again: {START_SANDBOX}")
    except Denied:
        pass  # a user without permission for the Deployment knows whom to ask
    else:
        return problem("api", f"{message}, though {_API_SERVER} is deployed", f"{APPLY_MANIFESTS}.")
    return warning("api", message, "Install it for virtctl and `nicplug add`; patches of the spec work without it.")


async def _check_older(session: Session) -> list[Finding]:
    """Check that the version that clients of an old KubeVirt request is registered."""
    try:
        await session.api.get(API_SERVICES, name=_OLDER_API)
    except Gone:
        remedy = f"Run `{START_SANDBOX}`" if session.is_sandbox else APPLY_MANIFESTS
        return [warning("api", f"APIService {_OLDER_API} is not registered: old clients fail", f"{remedy}.")]
    except Denied:
        pass  # the other version's could be read, so this denial is deliberate
    return []


async def _answers(session: Session, *, namespace: str) -> Finding:
    """Call the API itself: after its process ends, the condition Available is stale for some seconds."""
    try:
        await server_version(session)
    except Denied:
        pass  # by the API server's authorizer, or by the API itself: only a missing permission is known
    except ApiError as error:
        remedy = await _inspection(session, _API_SERVER, namespace=namespace)
        message = f"APIService {API} is registered as available, but does not answer: {error}"
        return problem("api", message, remedy)
    return ok("api", f"APIService {API} is available")


def all_processes(session: Session, *, namespace: str) -> list[tuple[str, Coroutine[Any, Any, list[Finding]]]]:
    """Return every check of this module with its name, not started yet."""
    return [
        ("versions", check_versions(session, namespace=namespace)),
        ("leader", check_leader(session, namespace=namespace)),
        ("operator", check_deployment(session, namespace=namespace)),
        ("rivals", check_rivals(session, namespace=namespace)),
        ("fences", check_policies(session)),
        ("api", check_api(session, namespace=namespace)),
    ]
