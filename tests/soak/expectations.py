"""What must be true when everybody has come to rest: from what users have declared, and from the API alone.

Pure. Written from the contracts of KubeVirt, Multus and the documents; imports nothing of the operator. Every
violation is a sentence that names the object.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from tests.soak.moves import is_kept_for_a_migration, leftovers_of_migrations, traces_in_vmi
from tests.soak.script import network_of
from tests.soak.users import NAMESPACE, Declared

from nicplug_sandbox.node.api import Json

NETWORKS = "k8s.v1.cni.cncf.io/networks"
NETWORK_STATUS = "k8s.v1.cni.cncf.io/network-status"
# The node simulator writes it while network-status is not what the pod really has.
POD_LINKS = "sandbox.nicplug.io/pod-links"
PRIMARY = "default"
_ENDED = ("Succeeded", "Failed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """Every object of the namespace that a soak is about."""

    vms: tuple[Json, ...]
    vmis: tuple[Json, ...]
    pods: tuple[Json, ...]
    revisions: tuple[Json, ...] = ()
    migrations: tuple[Json, ...] = ()
    reports: tuple[Json, ...] = ()


def violations(found: Found, declared: Mapping[str, Declared]) -> list[str]:
    """What does not hold, object by object; nothing when all is well."""
    vms, vmis = ({name_of(body): body for body in bodies} for bodies in (found.vms, found.vmis))
    told = [
        text
        for name, wanted in declared.items()
        for text in _vm_violations(name, wanted, vms.get(name), vmis.get(name), found)
    ]
    return [*told, *_leftovers(found, declared), *leftovers_of_migrations(found.migrations)]


def _vm_violations(name: str, wanted: Declared, vm: Json | None, vmi: Json | None, found: Found) -> Iterator[str]:
    if vm is None or not wanted.exists:
        if vm is not None:
            yield f"VM {name}: was deleted and is still there, finalizers {vm['metadata'].get('finalizers')}"
        elif wanted.exists:
            yield f"VM {name}: is missing"
        return
    yield from _own_violations(name, wanted, vm)
    yield from _restart_violations(name, vm, vmi)
    if not wanted.runs:
        if vmi is not None:
            yield f"VM {name}: is halted and has an instance"
    elif vmi is None:
        yield f"VM {name}: has no instance"
    elif owner_of(vmi) != vm["metadata"]["uid"]:
        yield f"VMI {name}: belongs to another VM of that name"
    else:
        yield from _vmi_violations(name, wanted, vmi, found)


def _own_violations(name: str, wanted: Declared, vm: Json) -> Iterator[str]:
    if "deletionTimestamp" in vm["metadata"]:
        yield f"VM {name}: is being deleted, and nobody asked for it"
    template = _states(vm["spec"]["template"]["spec"])
    if template != {PRIMARY: "up", **wanted.template}:
        yield f"VM {name}: the template has the NICs {template}, declared were {wanted.template}"
    status, expected = vm.get("status") or {}, "Running" if wanted.runs else "Stopped"
    if status.get("printableStatus", "Stopped") != expected:
        yield f"VM {name}: printableStatus is {status.get('printableStatus')}, not {expected}"
    if requests := status.get("stateChangeRequests"):
        yield f"VM {name}: a request is not done: {requests}"
    if bool(status.get("ready")) is not wanted.runs:
        yield f"VM {name}: ready is {status.get('ready')}"


def _restart_violations(name: str, vm: Json, vmi: Json | None) -> Iterator[str]:
    """Of what a soak edits, memory and MAC addresses wait for a restart; everything else is there or goes live."""
    told = condition(vm.get("status") or {}, "RestartRequired").get("status") == "True"
    differs = vmi is not None and _differs(vm["spec"]["template"]["spec"], vmi["spec"])
    if told is not differs:
        text = "not as" if differs else "as"
        yield f"VM {name}: RestartRequired is {told}, and the instance is {text} the template says"


def _differs(template: Json, running: Json) -> bool:
    memory, devices = ([spec["domain"][part] for spec in (template, running)] for part in ("resources", "devices"))
    wanted, present = ({item["name"]: item.get("macAddress") for item in _staying(one)} for one in devices)
    both = wanted.keys() & present.keys()
    return memory[0] != memory[1] or any(wanted[nic] != present[nic] for nic in both)


def _staying(devices: Json) -> list[Json]:
    return [item for item in devices["interfaces"] if item.get("state") != "absent"]


def condition(status: Json, type_: str) -> Json:
    """The condition of that type; empty without one."""
    return next((row for row in status.get("conditions") or [] if row["type"] == type_), {})


def _vmi_violations(name: str, wanted: Declared, vmi: Json, found: Found) -> Iterator[str]:
    status, uid = vmi.get("status") or {}, vmi["metadata"]["uid"]
    if "deletionTimestamp" in vmi["metadata"] or status.get("phase") != "Running":
        deleted = " and being deleted" if "deletionTimestamp" in vmi["metadata"] else ""
        yield f"VMI {name}: is {status.get('phase')}{deleted}, not Running"
        return
    nics = {PRIMARY: "up", **wanted.instance.get(uid, {}), **wanted.template}
    states = _states(vmi["spec"])
    if states != nics:
        yield f"VMI {name}: the spec has the NICs {states}, expected {nics}"
    yield from _row_violations(name, states, status)
    yield from _report_violations(name, vmi)
    live = [pod for pod in found.pods if owner_of(pod) == uid and is_live(pod)]
    if len(live) != 1:
        yield f"VMI {name}: has {len(live)} live pods: {[name_of(pod) for pod in live]}"
        return
    yield from traces_in_vmi(name, vmi, live[0])
    yield from _pod_violations(live[0], vmi, set(states) - {PRIMARY})


def _row_violations(name: str, states: Mapping[str, str], status: Json) -> Iterator[str]:
    rows = {row.get("name", ""): row for row in status.get("interfaces") or []}
    if rows.keys() != states.keys():
        yield f"VMI {name}: status.interfaces has {sorted(rows)}, the spec {sorted(states)}"
    for nic, row in rows.items():
        source = "domain" if nic == PRIMARY else "domain, multus-status"
        if row.get("infoSource") != source:
            yield f"VMI {name}: NIC {nic} has infoSource {row.get('infoSource')!r}, not {source!r}"
        if nic in states and row.get("linkState") != states[nic]:
            yield f"VMI {name}: NIC {nic} has linkState {row.get('linkState')}, the spec says {states[nic]}"


def _report_violations(name: str, vmi: Json) -> Iterator[str]:
    status = vmi["status"]
    waiting = {row["name"]: row for row in status.get("interfaceOperations") or [] if row.get("phase") != "Ready"}
    for nic, row in waiting.items():
        yield f"VMI {name}: the record of NIC {nic} is {row.get('phase')}, {row.get('reason')}: {row.get('message')}"
    ready = condition(status, "InterfacesReady")
    if ready.get("status") != "True":
        yield f"VMI {name}: InterfacesReady is {ready.get('status')}: {ready.get('message')}"
    if ready.get("observedGeneration") != vmi["metadata"]["generation"]:
        seen, present = ready.get("observedGeneration"), vmi["metadata"]["generation"]
        yield f"VMI {name}: InterfacesReady is of generation {seen}, the spec of {present}"


def _pod_violations(pod: Json, vmi: Json, nics: set[str]) -> Iterator[str]:
    what, annotations = f"pod {name_of(pod)}", pod["metadata"].get("annotations") or {}
    elements = json.loads(annotations.get(NETWORKS) or "[]")
    wanted = {(f"{NAMESPACE}/{network_of(nic)}", pod_interface(nic)) for nic in nics}
    asked = Counter((f"{item.get('namespace', NAMESPACE)}/{item['name']}", item.get("interface")) for item in elements)
    if asked != Counter(wanted):
        yield f"{what}: the networks annotation asks for {sorted(asked.elements())}, the spec for {sorted(wanted)}"
    entries = json.loads(annotations.get(NETWORK_STATUS) or "[]")
    attached = Counter((item["name"], item["interface"]) for item in entries if not item.get("default"))
    if attached != Counter(wanted):
        yield f"{what}: network-status lists {sorted(attached.elements())}, the spec asks for {sorted(wanted)}"
    if POD_LINKS in annotations:
        yield f"{what}: really has the interfaces {annotations[POD_LINKS]}, which network-status does not tell"
    yield from _mac_violations(what, vmi, entries)


def _mac_violations(what: str, vmi: Json, entries: list[Json]) -> Iterator[str]:
    """An address that the instance's spec asks for is the one that the pod interface has."""
    macs = {item["interface"]: item.get("mac") for item in entries}
    for interface in vmi["spec"]["domain"]["devices"]["interfaces"]:
        wanted, name = interface.get("macAddress"), interface["name"]
        if wanted and name != PRIMARY and macs.get(pod_interface(name)) != wanted:
            yield f"{what}: NIC {name} has the MAC address {macs.get(pod_interface(name))}, not {wanted}"


def _leftovers(found: Found, declared: Mapping[str, Declared]) -> Iterator[str]:
    for body in (*found.vms, *found.vmis):
        if name_of(body) not in declared:
            yield f"{body['kind']} {name_of(body)}: nobody has asked for it"
    alive = {body["metadata"]["uid"] for body in (*found.vms, *found.vmis)}
    for kind, bodies in (("VMI", found.vmis), ("pod", found.pods), ("ControllerRevision", found.revisions)):
        for body in bodies:
            if owner_of(body) not in alive:
                yield f"{kind} {name_of(body)}: its owner has gone and it is still there"
    for pod in found.pods:
        if not is_live(pod) and not is_kept_for_a_migration(pod, found.migrations):
            yield f"pod {name_of(pod)}: is {pod['status'].get('phase')}, and nobody takes it away"


def pod_interface(nic: str) -> str:
    """KubeVirt's name of the pod interface of a secondary network."""
    return "pod" + hashlib.sha256(nic.encode()).hexdigest()[:11]


def live_pods(pods: Iterable[Json]) -> dict[str, list[Json]]:
    """Live pods by the uid of their instance."""
    found: dict[str, list[Json]] = {}
    for pod in pods:
        if is_live(pod):
            found.setdefault(owner_of(pod), []).append(pod)
    return found


def is_live(pod: Json) -> bool:
    """Whether a pod has not ended, and is not to."""
    return "deletionTimestamp" not in pod["metadata"] and pod.get("status", {}).get("phase") not in _ENDED


def _states(spec: Json) -> dict[str, str]:
    return {item["name"]: item.get("state") or "up" for item in spec["domain"]["devices"].get("interfaces") or []}


def name_of(body: Json) -> str:
    """The name of an object."""
    return str(body["metadata"]["name"])


def owner_of(body: Json) -> str:
    """The uid of an object's controller; "" without one."""
    owners = body["metadata"].get("ownerReferences") or []
    return str(next((owner["uid"] for owner in owners if owner.get("controller")), ""))
