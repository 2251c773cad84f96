"""Checks of the CRDs, the KubeVirt CR with its gate and policy, and Multus."""

from collections.abc import Iterator

from nicplug.cli.connection import Session
from nicplug.cli.doctor.finding import Finding, ok, problem, unknown, warning
from nicplug.cli.operator_health import problem_of_definition
from nicplug.insight.evidence import Evidence
from nicplug.kube.errors import Denied, Gone
from nicplug.kube.resources import (
    CUSTOM_RESOURCE_DEFINITIONS,
    HOTPLUG_POLICIES,
    KUBEVIRTS,
    VIRTUAL_MACHINE_INSTANCE_MIGRATIONS,
    VIRTUAL_MACHINE_INSTANCES,
    VIRTUAL_MACHINES,
)
from nicplug.model.attachments import Knowledge
from nicplug.model.conditions import is_true
from nicplug.model.metadata import mapping, objects
from nicplug.model.nad_policy import MULTUS_CONFIG_MAP, NadPolicy
from nicplug.model.names import HOTPLUG_FEATURE_GATE

_KINDS = (
    *(VIRTUAL_MACHINES, VIRTUAL_MACHINE_INSTANCES, VIRTUAL_MACHINE_INSTANCE_MIGRATIONS),
    *(KUBEVIRTS, HOTPLUG_POLICIES),
)
_WITH_STATUS = (VIRTUAL_MACHINES, VIRTUAL_MACHINE_INSTANCES, VIRTUAL_MACHINE_INSTANCE_MIGRATIONS)
_INSTALL = "kubectl apply -f crds/"
_DEFAULTS = "the defaults"
_NAME_MULTUS = (
    "Correct that ConfigMap, or list its namespace in trustedNamespaces of the KubeVirt CR; or set nadPolicy there "
    "(docs/user-guide.md, Which networks a VM may use)."
)


async def check_definitions(session: Session) -> list[Finding]:
    """Check that every CRD exists, is established, and is nicplug's."""
    missing, wrong = [], []
    for resource in _KINDS:
        name = f"{resource.plural}.{resource.group}"
        try:
            definition = await session.api.get(CUSTOM_RESOURCE_DEFINITIONS, name=name)
        except Gone:
            missing.append(name)
            continue
        except Denied as error:
            return [unknown("crds", str(error))]
        if not is_true(objects(mapping(definition.get("status")).get("conditions")), "Established"):
            missing.append(f"{name} (not established)")
        if resource in _WITH_STATUS and (flaw := problem_of_definition(definition)):
            wrong.append(flaw)
    if missing:
        return [problem("crds", f"missing: {', '.join(missing)}", _INSTALL)]
    if wrong:
        return [problem("crds", "; ".join(wrong), _INSTALL)]
    return [ok("crds", f"{len(_KINDS)} CRDs are installed")]


def check_kubevirt(evidence: Evidence) -> Iterator[Finding]:
    """Check that there is exactly one effective KubeVirt CR, and that it enables the feature gate."""
    caches, namespace = evidence.caches, evidence.target.kubevirt_namespace
    config, ignored = caches.config(), caches.kubevirts.ignored()
    others = ", ".join(str(item.key) for item in ignored)
    if config is None:
        found = f"; {others} has no effect" if others else ""
        remedy = f"Create one in namespace {namespace}: kubectl apply -f examples/kubevirt.yaml"
        if others:
            remedy += ", or set NICPLUG_KUBEVIRT_NAMESPACE of the operator (here: --kubevirt-namespace)"
        yield problem("kubevirt", f"no KubeVirt CR in namespace {namespace}{found}", remedy)
        return
    yield ok("kubevirt", f"KubeVirt CR {config.key}")
    if ignored:
        yield warning("kubevirt", f"these KubeVirt CRs have no effect: {others}", "Delete them.")
    if config.hotplug_enabled:
        yield ok("gate", f"feature gate {HOTPLUG_FEATURE_GATE} is on")
    elif HOTPLUG_FEATURE_GATE in config.disabled_feature_gates:
        where = "spec.configuration.developerConfiguration.disabledFeatureGates"
        yield problem(
            "gate", f"{HOTPLUG_FEATURE_GATE} is disabled in KubeVirt CR {config.key}", f"Take it out of {where}."
        )
    else:
        where = "spec.configuration.developerConfiguration.featureGates"
        remedy = f'Add "{HOTPLUG_FEATURE_GATE}" to {where}.'
        yield problem("gate", f"{HOTPLUG_FEATURE_GATE} is not listed in KubeVirt CR {config.key}", remedy)


def check_policy(evidence: Evidence) -> Iterator[Finding]:
    """Report the hot-plug policy, and the parts of it that have no effect."""
    config = evidence.caches.config()
    if config is None:
        return
    if any(item.kind == HOTPLUG_POLICIES.plural for item in evidence.unknown):
        yield unknown("policy", "you may not list hotplugpolicies; what follows is the KubeVirt CR's alone")
    for message in config.problems:
        yield warning("policy", message, "Correct it in the object that is named.")
    if not config.problems and config.nad_rules.policy is NadPolicy.MULTUS and (denied := _denied_multus(evidence)):
        message = f"{_changed(evidence)}; networks of other namespaces: nadPolicy Multus ({config.nad_rules.origin})"
        yield unknown("policy", f"{message}, but {denied}")
    elif not config.problems:
        yield ok("policy", _policy(evidence))
    limits = config.limits
    if 0 in limits.named().values():
        stopped = ", ".join(name for name, value in limits.named().items() if value == 0)
        yield warning("policy", f"{stopped} is 0: no migration begins", "Set it to 1 or more, or remove it.")


def _policy(evidence: Evidence) -> str:
    networks = f"networks of other namespaces: {evidence.caches.attachment_access().rule.rstrip(',')}"
    config = evidence.caches.config()
    if (changed := _changed(evidence)) == _DEFAULTS and config is not None and not config.nad_rules.is_default:
        return f"{networks}; all else is the default"
    return f"{changed}; {networks}"


def _changed(evidence: Evidence) -> str:
    """Return the policy fields that differ from the defaults."""
    from nicplug.insight.forecast_json import policy_rows

    config = evidence.caches.config()
    rows = policy_rows(config.hotplug) if config is not None else []
    return ", ".join(f"{row['name']} {row['value']}" for row in rows if row["origin"] != "the default") or _DEFAULTS


def _denied_multus(evidence: Evidence) -> str:
    """Return that the caller cannot read Multus's configuration, which the operator may know; "" otherwise."""
    multus = evidence.caches.multus
    if multus.findings.isolation is not None or not multus.unreadable:
        return ""
    return f"you may not read ConfigMap {MULTUS_CONFIG_MAP} in {', '.join(sorted(multus.unreadable))}"


def check_multus(evidence: Evidence) -> Iterator[Finding]:
    """Check that network attachment definitions are served, and Multus's isolation is known if the policy needs it."""
    known = evidence.caches.attachments.known(()).knowledge
    if known is Knowledge.NOT_INSTALLED:
        remedy = "Install Multus as thick plugin with its CRD; it is noticed without a restart."
        yield problem("multus", "the CRD network-attachment-definitions.k8s.cni.cncf.io is missing", remedy)
    elif known is Knowledge.UNKNOWN:
        yield unknown("multus", "network attachment definitions cannot be read")
    else:
        count = len(evidence.caches.attachments)
        yield ok("multus", f"{count} network attachment definition{'' if count == 1 else 's'}")
    config, findings = evidence.caches.config(), evidence.caches.multus.findings
    if config is not None and config.nad_rules.policy is not NadPolicy.MULTUS:
        return  # the policy does not depend on what Multus enforces
    if denied := _denied_multus(evidence):
        yield unknown("multus", f"network isolation: {denied}")
    elif findings.problem:
        yield warning("multus", f"network isolation: {findings.problem}", _NAME_MULTUS)
