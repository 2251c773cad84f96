"""Check what the operator reports about the installation in the status of the KubeVirt CR."""

from nicplug.cli.connection import Session
from nicplug.cli.doctor.finding import Finding, ok, unknown, warning
from nicplug.insight.evidence import Evidence
from nicplug.kube.errors import Denied, Gone
from nicplug.kube.resources import KUBEVIRTS
from nicplug.model.conditions import TRUE, find_condition, is_true
from nicplug.model.kubevirt import mark_of_virt_operator
from nicplug.model.metadata import generation, mapping, objects, text

_WRITTEN = "The leader writes it within 10 s, if it may patch kubevirts/status: see its log."


async def check_status(session: Session, evidence: Evidence) -> list[Finding]:
    """Check that the status exists, is of the current generation, and is not degraded; no findings without a CR."""
    config = evidence.caches.config()
    if config is None:
        return []
    try:
        raw = await session.api.get(KUBEVIRTS, name=config.key.name, namespace=config.key.namespace)
    except Denied as error:
        return [unknown("status", str(error))]
    except Gone:
        return []
    if mark := mark_of_virt_operator(raw):
        message = f"KubeVirt CR {config.key} is KubeVirt's by its {mark}: nicplug does not write its status"
        return [warning("status", message, f"If KubeVirt does not run here, remove the {mark}.")]
    status = mapping(raw.get("status"))
    conditions = objects(status.get("conditions"))
    if not is_true(conditions, "Available"):
        return [warning("status", f"KubeVirt CR {config.key} is not Available by its status", _WRITTEN)]
    observed, present = status.get("observedGeneration"), generation(mapping(raw.get("metadata")))
    if observed != present:
        return [warning("status", f"the status is of generation {observed}, the CR of {present}", _WRITTEN)]
    degraded = find_condition(conditions, "Degraded") or {}
    if degraded.get("status") == TRUE:
        message = f"degraded, {text(degraded.get('reason'))}: {text(degraded.get('message'))}"
        return [warning("status", message, f"kubectl -n {config.key.namespace} describe kv/{config.key.name}")]
    return [ok("status", f"{text(status.get('phase'))}: {text(mapping(status.get('hotplug')).get('message'))}")]
