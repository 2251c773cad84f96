"""Checks of KubeVirt's virt-controller, beside which nicplug works: does it run, and what do its settings mean here?"""

from collections.abc import Iterator

from nicplug.cli.connection import Session
from nicplug.cli.doctor.finding import Finding, ok, problem, unknown, warning
from nicplug.cli.machines import now
from nicplug.insight.evidence import Evidence
from nicplug.kube.errors import Denied
from nicplug.kube.resources import DEPLOYMENTS, LEASES
from nicplug.model import rivals
from nicplug.model.kubevirt import KubevirtConfig
from nicplug.model.kubevirt_versions import remedy_for, why_only_report
from nicplug.model.metadata import mapping, objects, text
from nicplug.model.names import BESIDE_KUBEVIRT
from nicplug.model.rivals import VIRT_CONTROLLER_SELECTOR
from nicplug.plan.companion.virt_controller import LIVE_MIGRATE

_EVICT = "Evict"
_METHODS = "spec.workloadUpdateStrategy.workloadUpdateMethods"
_SEE_IT = f"kubectl get deployments -A -l {VIRT_CONTROLLER_SELECTOR}"


async def check_virt_controller(session: Session) -> list[Finding]:
    """Check that virt-controller is installed, and that one of its replicas works: while none does, its VMs wait."""
    try:
        page = await session.api.list(DEPLOYMENTS, label_selector=VIRT_CONTROLLER_SELECTOR)
    except Denied as error:
        return [unknown("virt-controller", str(error))]
    found = next(iter(objects(page.get("items"))), None)
    if found is None:
        remedy = f"Its VMs wait. Start it, or remove KubeVirt for good ({BESIDE_KUBEVIRT})."
        return [problem("virt-controller", "there is no Deployment of virt-controller", remedy)]
    metadata, status = mapping(found.get("metadata")), mapping(found.get("status"))
    name = f"{text(metadata.get('namespace'))}/{text(metadata.get('name'))}"
    ready = status.get("readyReplicas") or 0
    holder = await _holder(session)
    if holder:
        return [ok("virt-controller", f"{holder} ({ready} replicas of Deployment {name} are ready)")]
    message = f"nobody renews the Lease of virt-controller, and {ready} replicas of Deployment {name} are ready"
    if ready:
        return [warning("virt-controller", message, f"See whether it works: {_SEE_IT}")]
    return [problem("virt-controller", message, f"Its VMs wait until it runs: {_SEE_IT}")]


async def _holder(session: Session) -> str:
    """Return who renews virt-controller's Lease; "" if nobody does, or if that cannot be read."""
    try:
        page = await session.api.list(LEASES, field_selector=f"metadata.name={rivals.VIRT_CONTROLLER_LEASE}")
    except Denied:
        return ""
    found = rivals.rivals(objects(page.get("items")), namespace="", now=now())
    return next((f"{item.holder} renews Lease {item.namespace}/{item.lease}" for item in found), "")


def check_settings(evidence: Evidence) -> Iterator[Finding]:
    """Report the version of KubeVirt and those of its settings that decide on NICs."""
    config, namespace = evidence.caches.config(), evidence.target.kubevirt_namespace
    if config is None:
        remedy = "Give the namespace of KubeVirt's CR by --kubevirt-namespace, and to nicplug by the same variable."
        yield problem("kubevirt", f"no KubeVirt CR in namespace {namespace}", remedy)
        return
    yield _version(config, evidence)
    yield from _methods(config)
    yield _limits(config)
    yield ok("gate", "KubeVirt 1.4 and later hot-plug NICs whatever the feature gates and vmRolloutStrategy say")


def _version(config: KubevirtConfig, evidence: Evidence) -> Finding:
    version, allowed = config.observed_version, evidence.allowed_version
    if why := why_only_report(version, allowed=allowed):
        remedy = remedy_for(version) or "Only another version of KubeVirt or of nicplug helps."
        message = f"KubeVirt CR {config.key}: {why}"
        if unread := next((item for item in evidence.unknown if item.kind == LEASES.plural), None):
            return unknown(
                "kubevirt", f"{message}, and the operator's Lease cannot be read ({unread.why})", unread.remedy
            )
        return warning("kubevirt", f"{message}: nicplug only reports", remedy)
    if why_only_report(version):
        message = f"KubeVirt CR {config.key}, KubeVirt {version}, which nicplug does not know, but may act beside"
        return ok("kubevirt", f"{message}: --allow-kubevirt-version {allowed}")
    return ok("kubevirt", f"KubeVirt CR {config.key}, KubeVirt {version}, which nicplug knows")


def _methods(config: KubevirtConfig) -> Iterator[Finding]:
    methods = config.workload_update_methods
    if _EVICT in methods:
        message = f"{_METHODS} of KubeVirt CR {config.key} lists {_EVICT}: KubeVirt may end a guest for a NIC"
        yield warning("migrations", message, f"Take {_EVICT} out, unless guests may be ended.")
    if LIVE_MIGRATE in methods:
        yield ok("migrations", f"{_METHODS} lists {LIVE_MIGRATE}: nicplug migrates VMs for their NICs")
        return
    has = f"is {', '.join(methods)}" if methods else "is not set, KubeVirt's default"
    remedy = (
        f"Add {LIVE_MIGRATE} to it; or set spec.companion.ignoreWorkloadUpdateMethods of HotplugPolicy default "
        f"({BESIDE_KUBEVIRT}). Until then a NIC that does not get there in place waits for a migration of yours."
    )
    yield warning("migrations", f"{_METHODS} {has}: nicplug only reports, and KubeVirt migrates nothing either", remedy)


def _limits(config: KubevirtConfig) -> Finding:
    limits = {name: value for name, value in config.limits.named().items() if not name.startswith("parallelInbound")}
    summary = ", ".join(f"{name} {value}" for name, value in limits.items())
    if 0 in limits.values():
        return warning("limits", f"{summary}: no migration begins", "Set it to 1 or more, or remove it.")
    return ok("limits", summary)
