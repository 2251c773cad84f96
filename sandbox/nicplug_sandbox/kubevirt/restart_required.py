"""Condition RestartRequired: whether the template has changed in what a running guest cannot get (3.4). Pure."""

from nicplug_sandbox.kubevirt.objects import Json, interfaces_of, is_condition, networks_of
from nicplug_sandbox.kubevirt.settings import ClusterSettings
from nicplug_sandbox.kubevirt.template_sync import with_nics

TYPE = "RestartRequired"
MESSAGE = "a non-live-updatable field was changed in the template spec"
LIVE_UPDATED = ("nodeSelector", "affinity", "tolerations")


def is_required(vm: Json, vmi: Json, *, started_from: Json, settings: ClusterSettings) -> bool:
    """Compare the template with that of the last start, where live updates have not made them differ.

    Args:
        vm: as it is now.
        vmi: its guest.
        started_from: the VM spec of the last start.
        settings: the KubeVirt CR's.
    """
    now = vm["spec"]["template"].get("spec") or {}
    before = (started_from.get("template") or {}).get("spec") or {}
    if settings.is_live_update:
        before = _with_live_updates(before, now)
    if not is_required_for_nics(now, vmi, settings=settings):
        before = with_nics(before, interfaces=interfaces_of(now), networks=networks_of(now))
        now = with_nics(now, interfaces=interfaces_of(now), networks=networks_of(now))
    return before != now


def is_required_for_nics(template: Json, vmi: Json, *, settings: ClusterSettings) -> bool:
    """Whether the NICs of template and VMI differ in what cannot be changed live."""
    spec = vmi["spec"]
    wanted = {item["name"]: _stateless(item) for item in interfaces_of(template)}
    if any(wanted.get(item["name"]) != _stateless(item) for item in interfaces_of(spec)):
        return True
    if _has_pod_network(template) and not _has_pod_network(spec):
        return True
    renamed = settings.is_on("LiveUpdateNADRef") and is_condition(vmi, "LiveMigratable")
    networks = {item["name"]: _nameless(item) if renamed else item for item in networks_of(template)}
    return any(networks.get(item["name"]) != (_nameless(item) if renamed else item) for item in networks_of(spec))


def _has_pod_network(spec: Json) -> bool:
    return any("pod" in item for item in networks_of(spec))


def _stateless(interface: Json) -> Json:
    return {key: value for key, value in interface.items() if key != "state"}


def _nameless(network: Json) -> Json:
    if "multus" not in network:
        return network
    return {**network, "multus": {**network["multus"], "networkName": ""}}


def _with_live_updates(before: Json, now: Json) -> Json:
    """CPU sockets, guest memory and what schedules the pod follow the template while the guest runs."""
    domain, wanted = dict(before.get("domain") or {}), now.get("domain") or {}
    if domain.get("cpu") is not None and wanted.get("cpu") is not None:
        rest = {key: value for key, value in domain["cpu"].items() if key != "sockets"}
        sockets = {"sockets": wanted["cpu"]["sockets"]} if "sockets" in wanted["cpu"] else {}
        domain["cpu"] = {**rest, **sockets}
    if (guest := (wanted.get("memory") or {}).get("guest")) is not None:
        domain["memory"] = {**(domain.get("memory") or {}), "guest": guest}
    kept = {key: value for key, value in before.items() if key not in LIVE_UPDATED}
    follows = {key: now[key] for key in LIVE_UPDATED if key in now}
    return {**kept, **({"domain": domain} if domain else {}), **follows}
