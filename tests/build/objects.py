"""Raw Kubernetes objects with good defaults, as the API server serves them. A case names only what matters to it.

Knows nothing of the operator: what tests both sides of the contract may be built with it.
"""

import copy
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

Json = dict[str, Any]
Nic = tuple[Json, Json]
"""An interface and its network."""

MIGRATION_FINALIZER = "kubevirt.io/migrationJobFinalize"
NETWORK_STATUS_ANNOTATION = "k8s.v1.cni.cncf.io/network-status"
NETWORKS_ANNOTATION = "k8s.v1.cni.cncf.io/networks"
VM_FINALIZER = "kubevirt.io/virtualMachineControllerFinalize"
VMI_FINALIZER = "kubevirt.io/foregroundDeleteVirtualMachine"
NOW = datetime(2026, 1, 2, 3, 4, 5, 678000, tzinfo=UTC)
CREATED = "2026-01-02T03:00:00Z"
NAMESPACE = "default"
NAME = "vmi-fedora"
NODE = "node01"
VM_UID = "11111111-aaaa-4000-8000-000000000001"
VMI_UID = "22222222-bbbb-4000-8000-000000000002"
POD_UID = "33333333-cccc-4000-8000-000000000003"
MIGRATION_UID = "44444444-dddd-4000-8000-000000000004"
TARGET_POD_UID = "55555555-eeee-4000-8000-000000000005"
TARGET_NODE = "node02"
REPORT_UID = "66666666-ffff-4000-8000-000000000006"
REPORT_LABELS = {"app.kubernetes.io/managed-by": "nicplug"}
# As the operator names it: five digits of the SHA-256 of the VMI's uid.
POD_NAME = "virt-launcher-vmi-fedora-5ca3e"
# KubeVirt's vectors for the hashed scheme, of its own unit tests.
POD_INTERFACES = {
    "iface1": "pod7e0055a6880",
    "iface2": "pod48802102d24",
    "red": "podb1f51a511f1",
    "blue": "pod16477688c0e",
    "green": "podba4788b226a",
    "network1": "poda7662f44d65",
    "network2": "pod27f4a77f94e",
    "default": "pod37a8eec1ce1",
    "test1": "pod1b4f0e98519",
    "other-test1": "pod49dba5c72f0",
    "foo": "pod2c26b46b68f",
    "boo": "pod6446d58d6df",
    "doo": "pod778c553efa0",
    "goo": "podeeea394806a",
    "woo": "podb260539511e",
    "secondary-network": "pod56a025b6623",
    "secondary-network2": "podb84f866e97d",
}


def later(seconds: float) -> datetime:
    """So long after NOW."""
    return NOW + timedelta(seconds=seconds)


def primary(name: str = "default", *, binding: str = "masquerade", state: str = "") -> Nic:
    """The NIC on the pod network."""
    return _interface(name, binding=binding, mac="", state=state), {"name": name, "pod": {}}


def nic(name: str, *, binding: str = "bridge", mac: str = "", state: str = "", attachment: str | None = None) -> Nic:
    """A NIC on a secondary network; the attachment definition is `<name>-net` unless said otherwise."""
    network = {"name": name, "multus": {"networkName": f"{name}-net" if attachment is None else attachment}}
    return _interface(name, binding=binding, mac=mac, state=state), network


def absent(name: str, *, binding: str = "bridge") -> Nic:
    """A NIC that is to go."""
    return nic(name, binding=binding, state="absent")


def _interface(name: str, *, binding: str, mac: str, state: str) -> Json:
    interface: Json = {"name": name}
    if binding:
        interface[binding] = {"name": "plugin"} if binding == "binding" else {}
    if mac:
        interface["macAddress"] = mac
    if state:
        interface["state"] = state
    return interface


def vmi_spec(nics: Iterable[Nic]) -> Json:
    """The part of a VMI spec that matters here; lists are left out when empty, as clients do."""
    pairs = list(nics)
    devices: Json = {"interfaces": [interface for interface, _ in pairs]} if pairs else {}
    spec: Json = {"domain": {"devices": devices, "memory": {"guest": "1Gi"}}}
    return {**spec, "networks": [network for _, network in pairs]} if pairs else spec


def metadata(name: str, *, uid: str, generation: int = 1, version: int = 10, **members: Any) -> Json:
    """The metadata that every stored object has, and what else the case wants; None leaves a member out."""
    base: Json = {
        "namespace": NAMESPACE,
        "name": name,
        "uid": uid,
        "generation": generation,
        "resourceVersion": str(version),
        "creationTimestamp": CREATED,
    }
    return base | {member: value for member, value in members.items() if value is not None}


def owner(kind: str, name: str, uid: str) -> Json:
    """A controlling ownerReference."""
    return {"apiVersion": "kubevirt.io/v1", "kind": kind, "name": name, "uid": uid, "controller": True}


def vmi(
    *nics: Nic,
    phase: str = "Running",
    rows: Sequence[Json] | None = None,
    operations: Sequence[Json] = (),
    conditions: Sequence[Json] = (),
    name: str = NAME,
    uid: str = VMI_UID,
    owner_uid: str | None = None,
    node: str = NODE,
    deleting: bool = False,
    moving: Json | None = None,
    **meta: Any,
) -> Json:
    """A VMI; without NICs it has the primary one alone. `owner_uid` makes it a VM's.

    `moving`: its migrationState.
    """
    status: Json = {"phase": phase}
    if phase not in ("", "Pending", "Scheduling"):
        status["nodeName"] = node
    status |= {"interfaces": list(rows)} if rows else {}
    status |= {"interfaceOperations": list(operations)} if operations else {}
    status |= {"conditions": list(conditions)} if conditions else {}
    status |= {"migrationState": moving} if moving is not None else {}
    members: Json = {
        "finalizers": [VMI_FINALIZER] if owner_uid is None else [VM_FINALIZER, VMI_FINALIZER],
        "labels": {"kubevirt.io/nodeName": node} if status.get("nodeName") else None,
        "ownerReferences": [owner("VirtualMachine", name, owner_uid)] if owner_uid else None,
        "deletionTimestamp": CREATED if deleting else None,
        **meta,
    }
    raw: Json = {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachineInstance",
        "metadata": metadata(name, uid=uid, **members),
        "spec": vmi_spec(nics or (primary(),)),
    }
    return {**raw, "status": status} if phase else raw


def vm(
    *nics: Nic,
    run_strategy: str | None = "Always",
    running: bool | None = None,
    name: str = NAME,
    uid: str = VM_UID,
    status: Json | None = None,
    deleting: bool = False,
    **meta: Any,
) -> Json:
    """A VM; without NICs its template has none."""
    spec: Json = {"template": {"metadata": {"labels": {"app": "fedora"}}, "spec": vmi_spec(nics)}}
    spec |= {"runStrategy": run_strategy} if run_strategy is not None else {}
    spec |= {"running": running} if running is not None else {}
    members = {"finalizers": [VM_FINALIZER], "deletionTimestamp": CREATED if deleting else None, **meta}
    raw: Json = {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachine",
        "metadata": metadata(name, uid=uid, **members),
        "spec": spec,
    }
    return {**raw, "status": status} if status is not None else raw


def revision(of: Json, *, owner_uid: str | None = None, **meta: Any) -> Json:
    """The revision that a VM as it stands is started from; `owner_uid` gives it to somebody else."""
    uid, generation = of["metadata"]["uid"], of["metadata"]["generation"]
    members: Json = {
        "labels": {"nicplug.io/virtual-machine-uid": uid},
        "ownerReferences": [owner("VirtualMachine", of["metadata"]["name"], owner_uid or uid)],
        **meta,
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": metadata(f"revision-start-vm-{uid}-{generation}", uid=f"revision-{generation}", **members),
        "data": {"spec": copy.deepcopy(of["spec"])},
        "revision": generation,
    }


def network_status(*interfaces: str, default: str = "eth0") -> str:
    """A network-status annotation that lists the default network and these interfaces, each of its NIC's network."""
    networks = {interface: f"default/{name}-net" for name, interface in POD_INTERFACES.items()}
    entries: list[Json] = [{"name": "cluster", "interface": default, "default": True, "dns": {}}]
    entries += [
        {"name": networks.get(item, f"default/{item}"), "interface": item, "mac": "02:00:00:00:00:01"}
        for item in interfaces
    ]
    return json.dumps(entries)


def element(name: str, *, mac: str = "", namespace: str = NAMESPACE, attachment: str | None = None) -> Json:
    """The annotation element of the NIC of that name."""
    body: Json = {"name": attachment or f"{name}-net", "namespace": namespace}
    return body | ({"mac": mac} if mac else {}) | {"interface": POD_INTERFACES[name]}


def pod(
    *,
    networks: str | Sequence[Json] | None = None,
    attached: Sequence[str] = (),
    phase: str = "Running",
    ready: bool = True,
    name: str = POD_NAME,
    uid: str = POD_UID,
    owner_uid: str = VMI_UID,
    owner_name: str = NAME,
    node: str = NODE,
    deleting: bool = False,
    status_text: str | None = None,
    conditions: Sequence[Json] | None = None,
    status: Json | None = None,
    gated: bool = False,
    **meta: Any,
) -> Json:
    """A launcher pod: asked for `networks`, and having `attached` (NIC names, or pod interface names).

    `gated`: its Ready waits for the operator's condition. `status`: more members of the status, or other ones.
    """
    text = networks if isinstance(networks, str) or networks is None else render(networks)
    found = [POD_INTERFACES.get(item, item) for item in attached]
    annotations = {NETWORK_STATUS_ANNOTATION: network_status(*found) if status_text is None else status_text}
    annotations |= {NETWORKS_ANNOTATION: text} if text is not None else {}
    members: Json = {
        "labels": {"kubevirt.io": "virt-launcher", "kubevirt.io/created-by": owner_uid},
        "annotations": annotations,
        "ownerReferences": [owner("VirtualMachineInstance", owner_name, owner_uid)],
        "deletionTimestamp": CREATED if deleting else None,
        **meta,
    }
    state = {"running": {"startedAt": CREATED}} if ready else {"waiting": {"reason": "ContainerCreating"}}
    ready_row = {"type": "Ready", "status": "True" if ready else "False"}
    body: Json = {
        "phase": phase,
        "conditions": [ready_row] if conditions is None else list(conditions),
        "containerStatuses": [{"name": "compute", "ready": ready, "state": state}],
    }
    gates = {"readinessGates": [{"conditionType": "kubevirt.io/virtual-machine-unpaused"}]} if gated else {}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata(name, uid=uid, **members),
        "spec": {"nodeName": node, "containers": [{"name": "compute", "image": "launcher:1"}], **gates},
        "status": body | (status or {}),
    }


def migration(
    phase: str = "Scheduling",
    *,
    name: str = "migration-job",
    uid: str = MIGRATION_UID,
    vmi_name: str = NAME,
    deleting: bool = False,
    spec: Json | None = None,
    status: Json | None = None,
    **meta: Any,
) -> Json:
    """A migration of the VMI; without a phase its controller has not seen it. `spec`: more of it, `{}` for none."""
    members: Json = {
        "labels": {"kubevirt.io/vmi-name": vmi_name},
        "finalizers": [MIGRATION_FINALIZER],
        "deletionTimestamp": CREATED if deleting else None,
        **meta,
    }
    raw: Json = {
        "apiVersion": "kubevirt.io/v1",
        "kind": "VirtualMachineInstanceMigration",
        "metadata": metadata(name, uid=uid, **members),
        "spec": {"vmiName": vmi_name, **(spec or {})} if spec != {} else {},
    }
    body = ({"phase": phase} if phase else {}) | (status or {})
    return {**raw, "status": body} if body else raw


def interface_report(
    *,
    name: str = NAME,
    owner_kind: str = "VirtualMachine",
    owner_uid: str = VM_UID,
    uid: str = REPORT_UID,
    deleting: bool = False,
    version: int = 10,
    labels: Mapping[str, str] | None = REPORT_LABELS,
    ownerReferences: Sequence[Json] | None = (),
    **status: Any,
) -> Json:
    """An InterfaceReport; `status` as it stands there. `ownerReferences`: None for none."""
    owners = None if ownerReferences is None else list(ownerReferences) or [owner(owner_kind, name, owner_uid)]
    members: Json = {"labels": dict(labels) if labels is not None else None, "ownerReferences": owners}
    members["deletionTimestamp"] = CREATED if deleting else None
    raw: Json = {
        "apiVersion": "nicplug.io/v1alpha1",
        "kind": "InterfaceReport",
        "metadata": metadata(name, uid=uid, version=version, **members),
    }
    return {**raw, "status": status} if status else raw


def waiting(reason: str, *, message: str = "no such host", where: str = "containerStatuses") -> Json:
    """The status of a pod whose container waits for that reason."""
    state = {"waiting": {"reason": reason, "message": message}}
    return {"phase": "Pending", where: [{"name": "compute", "ready": False, "state": state}]}


def pinned(**members: Any) -> Json:
    """A VMI with CPUs of its own."""
    raw = vmi(**members)
    raw["spec"]["domain"]["cpu"] = {"cores": 2, "dedicatedCpuPlacement": True}
    return raw


def kubevirt(*gates: str, disabled: Sequence[str] = (), name: str = "kubevirt", **network: Any) -> Json:
    """A KubeVirt CR; without arguments it lists HotplugNICs. `kubevirt("")` lists nothing that counts."""
    developer: Json = {"featureGates": list(gates or ("HotplugNICs",))}
    developer |= {"disabledFeatureGates": list(disabled)} if disabled else {}
    return {
        "apiVersion": "kubevirt.io/v1",
        "kind": "KubeVirt",
        "metadata": {**metadata(name, uid=f"kv-{name}"), "namespace": "kubevirt"},
        "spec": {"configuration": {"developerConfiguration": developer, "network": network}},
    }


def row(name: str, *sources: str, pod_interface: str | None = None, **members: Any) -> Json:
    """A row of `status.interfaces`."""
    body: Json = {"name": name} if name else {}
    body |= {"infoSource": ", ".join(sources)} if sources else {}
    known = POD_INTERFACES.get(name, "eth0") if pod_interface is None else pod_interface
    return body | ({"podInterfaceName": known} if known and name else {}) | members


def primary_row(*sources: str) -> Json:
    """The row of the primary NIC."""
    return row("default", *(sources or ("domain",)), pod_interface="eth0")


def operation(
    name: str,
    *,
    type_: str = "Plug",
    path: str = "Dynamic",
    phase: str = "Pending",
    reason: str = "WaitingForPodInterface",
    since: datetime = NOW,
    **members: Any,
) -> Json:
    """A row of `status.interfaceOperations`; more members as they stand in the row, moments as datetimes."""
    times = {
        key: value.strftime("%Y-%m-%dT%H:%M:%S.%fZ") for key, value in members.items() if isinstance(value, datetime)
    }
    moment = since.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return {
        "name": name,
        "operation": type_,
        "path": path,
        "phase": phase,
        "reason": reason,
        "message": "",
        "attempts": 1,
        "startTime": moment,
        "lastTransitionTime": moment,
        **members,
        **times,
    }


def render(elements: Sequence[Json]) -> str:
    """The annotation text of these elements, written independently of the code under test."""
    return "[" + ",".join(json.dumps(item, separators=(",", ":")) for item in elements) + "]"


def nad(name: str, *, namespace: str = NAMESPACE, config: str = '{"type": "bridge"}', version: int = 10) -> Json:
    """A network attachment definition."""
    return {
        "apiVersion": "k8s.cni.cncf.io/v1",
        "kind": "NetworkAttachmentDefinition",
        "metadata": metadata(name, uid=f"nad-{name}", version=version) | {"namespace": namespace},
        "spec": {"config": config},
    }


def node(name: str, *, ready: bool = True, labels: Mapping[str, str] | None = None, **spec: Any) -> Json:
    """A node."""
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "uid": f"node-{name}", "labels": {"kubernetes.io/hostname": name, **(labels or {})}},
        "spec": spec,
        "status": {"conditions": [{"type": "Ready", "status": "True" if ready else "False"}]},
    }
