"""Whether the operator and the aggregated API run: leader, replicas, versions, fences, registration, certificate."""

import base64
import json
from collections.abc import Coroutine, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from nicplug import __version__
from nicplug.cli.connection import Session
from nicplug.cli.doctor.finding import Finding, ok, problem, unknown, warning
from nicplug.cli.machines import now
from nicplug.cli.operator_health import read_leader
from nicplug.cli.subresources import server_version
from nicplug.kube.api import Resource
from nicplug.kube.errors import ApiError, Denied, Gone
from nicplug.kube.resources import LEASES
from nicplug.model.conditions import find_condition
from nicplug.model.metadata import mapping, objects, text
from nicplug.model.times import parse_time

_DEPLOYMENTS = Resource(group="apps", version="v1", plural="deployments", kind="Deployment")
_POLICIES = Resource(
    group="admissionregistration.k8s.io",
    version="v1",
    plural="validatingadmissionpolicies",
    kind="ValidatingAdmissionPolicy",
    namespaced=False,
)
_API_SERVICES = Resource(
    group="apiregistration.k8s.io", version="v1", plural="apiservices", kind="APIService", namespaced=False
)
_FENCES = ("nicplug-bindings", "nicplug-launcher-pods", "nicplug-operator-pods")
_INSTALL = "kubectl apply -k deploy/kustomize/base"
_SOON = timedelta(days=14)
API = "v1.subresources.kubevirt.io"
OPERATOR = "nicplug-operator"


async def check_server(session: Session) -> list[Finding]:
    """The API server's version, and ours."""
    version = json.loads(await session.api.request("GET", "/version"))
    return [ok("versions", f"nicplug {__version__} (this command), API server {text(version.get('gitVersion'))}")]


async def check_leader(session: Session, *, namespace: str) -> list[Finding]:
    """A replica holds the Lease and renews it."""
    leader = await read_leader(session, namespace=namespace)
    if not leader.is_known:
        return [unknown("leader", leader.problem)]
    if leader.problem:
        return [problem("leader", leader.problem, await _look_at(session, OPERATOR, namespace=namespace))]
    seconds = (now() - leader.renewed).total_seconds() if leader.renewed is not None else 0.0
    return [ok("leader", f"{leader.holder}, renewed {max(0.0, seconds):.0f}s ago")]


async def _look_at(session: Session, name: str, *, namespace: str) -> str:
    """Where to look when it does not work: at the Deployment, or at a process where there is none."""
    try:
        await session.api.get(_DEPLOYMENTS, name=name, namespace=namespace)
    except Gone:
        found = f"There is no Deployment {namespace}/{name}"
        return (
            f"{found}. If it is run by hand, look at its process and log (in a sandbox: nicplug sandbox status); if it "
            f"runs in another namespace, give --operator-namespace; else {_INSTALL}"
        )
    except Denied:
        pass  # who may not look at it knows whom to ask
    return f"kubectl -n {namespace} get pods; kubectl -n {namespace} logs deploy/{name}"


async def check_deployment(session: Session, *, namespace: str) -> list[Finding]:
    """Its replicas are ready, and of which version they are."""
    try:
        found = await session.api.get(_DEPLOYMENTS, name=OPERATOR, namespace=namespace)
    except Gone:
        leader = await read_leader(session, namespace=namespace)
        if not leader.problem:
            return [ok("operator", f"runs without a Deployment, as {leader.holder}")]
        remedy = f"{_INSTALL}, unless the operator is run by hand"
        return [warning("operator", f"there is no Deployment {namespace}/{OPERATOR}", remedy)]
    except Denied as error:
        return [unknown("operator", str(error))]
    status, spec = mapping(found.get("status")), mapping(found.get("spec"))
    wanted, ready = spec.get("replicas"), status.get("readyReplicas") or 0
    pod = mapping(mapping(spec.get("template")).get("spec"))
    images = ", ".join(text(item.get("image")) for item in objects(pod.get("containers")))
    told = f"{ready} of {wanted} replicas are ready ({images})"
    if not ready:
        remedy = f"kubectl -n {namespace} describe deploy/{OPERATOR}"
        return [problem("operator", told, remedy)]
    if ready == 1:
        return [warning("operator", told, "With two replicas one stands by: nothing waits for a restart.")]
    return [ok("operator", told)]


async def check_rivals(session: Session, *, namespace: str) -> list[Finding]:
    """KubeVirt's own virt-controller acts on the same objects."""
    try:
        lease = await session.api.get(LEASES, name="virt-controller", namespace=namespace)
    except ApiError:
        return []
    renewed = parse_time(mapping(lease.get("spec")).get("renewTime"))
    if renewed is None or now() - renewed > timedelta(minutes=1):
        return []
    remedy = "Remove one of the two: both act on the same objects."
    return [problem("rivals", f"KubeVirt's virt-controller works in namespace {namespace}", remedy)]


async def check_fences(session: Session) -> list[Finding]:
    """The policies that keep tenants from forging launcher pods."""
    try:
        found = await session.api.list(_POLICIES)
    except Denied as error:
        return [unknown("fences", str(error))]
    except Gone:
        return [warning("fences", "this API server has no ValidatingAdmissionPolicies", "Kubernetes 1.30 has them.")]
    names = {text(mapping(item.get("metadata")).get("name")) for item in objects(found.get("items"))}
    if missing := [name for name in _FENCES if name not in names]:
        return [warning("fences", f"missing: {', '.join(missing)}", f"{_INSTALL} (docs/security.md)")]
    return [ok("fences", f"{len(_FENCES)} admission policies fence launcher pods")]


async def check_api(session: Session, *, namespace: str) -> list[Finding]:
    """virtctl and `nicplug add` reach the aggregated API."""
    try:
        found = await session.api.get(_API_SERVICES, name=API)
    except Gone:
        remedy = "Install it for virtctl and `nicplug add`; patches of the spec work without it."
        return [warning("api", f"APIService {API} is not registered", remedy)]
    except Denied as error:
        return [unknown("api", str(error))]
    available = find_condition(objects(mapping(found.get("status")).get("conditions")), "Available") or {}
    if available.get("status") != "True":
        remedy = await _look_at(session, "nicplug-api", namespace=namespace)
        told = f"{text(available.get('reason'))}: {text(available.get('message'))}"
        return [problem("api", f"APIService {API} is not available: {told}", remedy)]
    return [await _answers(session, namespace=namespace), check_certificate(found, at=now())]


async def _answers(session: Session, *, namespace: str) -> Finding:
    """The condition is some seconds old when the process ends: the API itself is asked."""
    try:
        await server_version(session)
    except Denied:
        pass  # by the API server's authorizer, or by the API itself: a right is missing, and nothing else is known
    except ApiError as error:
        remedy = await _look_at(session, "nicplug-api", namespace=namespace)
        told = f"APIService {API} is registered as available, but does not answer: {error}"
        return problem("api", told, remedy)
    return ok("api", f"APIService {API} is available")


def check_certificate(api_service: Mapping[str, Any], *, at: datetime) -> Finding:
    """How long the CA that the API server trusts for it is valid; nicplug renews its own in time."""
    from cryptography import x509

    bundle = text(mapping(api_service.get("spec")).get("caBundle"))
    if not bundle:
        remedy = "Set caBundle, or let nicplug api keep it: insecureSkipTLSVerify trusts anybody."
        return warning("certificate", f"APIService {API} has no caBundle", remedy)
    try:
        certificates = x509.load_pem_x509_certificates(base64.b64decode(bundle))
    except ValueError as error:
        return problem(
            "certificate", f"caBundle of APIService {API} cannot be read: {error}", "Remove it: it is written again."
        )
    ends = max(item.not_valid_after_utc for item in certificates)
    told = f"the CA of the aggregated API is valid until {ends.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
    if ends <= at:
        return problem(
            "certificate", told, "Restart nicplug-api, and see its log for why the certificate is not renewed."
        )
    if ends - at < _SOON:
        return warning("certificate", told, "It is renewed automatically; if not, see the log of nicplug-api.")
    return ok("certificate", told)


def all_processes(
    session: Session, *, namespace: str, kubevirt_namespace: str
) -> list[tuple[str, Coroutine[Any, Any, list[Finding]]]]:
    """Every check of this module, with its name."""
    return [
        ("versions", check_server(session)),
        ("leader", check_leader(session, namespace=namespace)),
        ("operator", check_deployment(session, namespace=namespace)),
        ("rivals", check_rivals(session, namespace=kubevirt_namespace)),
        ("fences", check_fences(session)),
        ("api", check_api(session, namespace=namespace)),
    ]
