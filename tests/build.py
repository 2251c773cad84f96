"""Raw Kubernetes objects with good defaults, as the API server serves them, and the records parsed from them.

A case names only what matters to it. Objects are raw on purpose: every test of a planner covers the parsers too.
"""

import copy
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from nicplug.model.attachments import Knowledge, KnownAttachments, parse_attachment_definition
from nicplug.model.dynamic_controller import ControllerState, DynamicController
from nicplug.model.hotplug_policy import HotplugPolicy
from nicplug.model.keys import PodKey
from nicplug.model.kubevirt import KubevirtConfig, parse_kubevirt
from nicplug.model.migration import Migration, parse_migration
from nicplug.model.migration_slot import MigrationSlot
from nicplug.model.nad_policy import AttachmentAccess
from nicplug.model.names import (
    MIGRATION_FINALIZER,
    NETWORK_STATUS_ANNOTATION,
    NETWORKS_ANNOTATION,
    VM_FINALIZER,
    VMI_FINALIZER,
)
from nicplug.model.node import parse_node
from nicplug.model.pod import LauncherPod, parse_pod
from nicplug.model.pod_failures import FAILED_ADDING, FAILED_REMOVING, FAILED_SANDBOX, PodFailure, parse_pod_failure
from nicplug.model.pod_records import gather_records
from nicplug.model.revision import VmRevision, parse_revision
from nicplug.model.times import format_micro_time
from nicplug.model.vm import VirtualMachine, parse_vm
from nicplug.model.vmi import VirtualMachineInstance, parse_vmi
from nicplug.plan.views import MigrationView, PlanSettings, Refusal, VmiView, VmView
from nicplug.plan.vmi.launcher_pod import target_pod_key

Json = dict[str, Any]
Nic = tuple[Json, Json]
"""An interface and its network."""

EVERY_NAMESPACE = AttachmentAccess(shared=None, rule="nadPolicy Any")
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
# As the operator names it: five digits of the SHA-256 of the VMI's uid.
POD_NAME = "virt-launcher-vmi-fedora-5ca3e"

CONTROLLER = DynamicController(state=ControllerState.READY, daemon_set="kube-system/dynamic-networks-controller-ds")

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


def target_pod(*, migration_uid: str = MIGRATION_UID, node: str = TARGET_NODE, **members: Any) -> Json:
    """The pod that this migration moves the VMI to."""
    uid = members.get("owner_uid", VMI_UID)
    name = target_pod_key(a_vmi(vmi(uid=uid)), migration_uid=migration_uid).name
    labels = {
        "kubevirt.io": "virt-launcher",
        "kubevirt.io/created-by": uid,
        "kubevirt.io/migrationJobUID": migration_uid,
    }
    return pod(**{"name": name, "uid": TARGET_POD_UID, "node": node, "labels": labels, **members})


def migration_state(
    *, migration_uid: str = MIGRATION_UID, source: Json | None = None, target: Json | None = None, **members: Any
) -> Json:
    """`status.migrationState` as the hand-off writes it, and what the node agents have added; pods as built here."""
    source, target = source or pod(), target or target_pod(migration_uid=migration_uid)
    return {
        "migrationUid": migration_uid,
        "sourceNode": source["spec"]["nodeName"],
        "sourcePod": source["metadata"]["name"],
        "targetNode": target["spec"]["nodeName"],
        "targetPod": target["metadata"]["name"],
        **members,
    }


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
    times = {key: format_micro_time(value) for key, value in members.items() if isinstance(value, datetime)}
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


def a_vm(raw: Json) -> VirtualMachine:
    """The record of a VM."""
    return parse_vm(copy.deepcopy(raw))


def a_vmi(raw: Json) -> VirtualMachineInstance:
    """The record of a VMI."""
    return parse_vmi(copy.deepcopy(raw))


def a_pod(raw: Json) -> LauncherPod:
    """The record of a pod."""
    return parse_pod(copy.deepcopy(raw))


def a_revision(raw: Json) -> VmRevision:
    """The record of a revision."""
    return parse_revision(copy.deepcopy(raw))


def a_migration(raw: Json) -> Migration:
    """The record of a migration."""
    return parse_migration(copy.deepcopy(raw))


def a_config(raw: Json) -> KubevirtConfig:
    """The record of a KubeVirt CR."""
    return parse_kubevirt(copy.deepcopy(raw))


def vmi_view(
    raw: Mapping[str, Any],
    *pods: Json,
    vm: Json | None = None,
    config: Json | None = None,
    has_config: bool = True,
    refusal: Refusal | None = None,
    pending_since: datetime | None = None,
    seen_at: datetime = NOW,
    orphan: Json | None = None,
    podless: bool = True,
    known_podless: bool = False,
    podless_since: datetime = NOW,
    nads: Sequence[Json] | None = None,
    access: AttachmentAccess = EVERY_NAMESPACE,
    multus_installed: bool = True,
    failures: Sequence[PodFailure] = (),
    migrations: Sequence[Json] = (),
    policy: HotplugPolicy | None = None,
    foreign: Sequence[Json] = (),
    **more: Any,
) -> VmiView:
    """What the planner of a VMI sees; the feature gate is listed unless `config` says otherwise.

    `known_podless`: the pod that was asked for does not exist, whatever others there are. `policy`: when the VM's owner
    has overridden the cluster's. `foreign`: pods that nicplug has not made, beside `pods`, which it has.
    """
    configuration = a_config(config or kubevirt()) if has_config else None
    record, jobs = a_vmi(dict(raw)), tuple(map(a_migration, migrations))
    return VmiView(
        vmi=record,
        pods=tuple(map(a_pod, pods)),
        foreign_pods=tuple(map(a_pod, foreign)),
        records=gather_records(record, jobs, ()),
        vm=a_vm(vm) if vm is not None else None,
        config=configuration,
        policy=policy or _policy_of(configuration),
        settings=PlanSettings(),
        spec_seen_at=seen_at,
        orphans=(a_pod(orphan),) if orphan is not None else (),
        podless_since=podless_since if known_podless or (podless and not pods) else None,
        refusal=refusal,
        report_pending_since=pending_since,
        attachments=known_attachments(nads, access=access) if multus_installed else NOT_INSTALLED,
        failures=tuple(failures),
        migrations=jobs,
        **more,
    )


def _policy_of(config: KubevirtConfig | None) -> HotplugPolicy:
    return config.hotplug if config is not None else HotplugPolicy()


NOT_INSTALLED = KnownAttachments(knowledge=Knowledge.NOT_INSTALLED)


def nad(name: str, *, namespace: str = NAMESPACE, config: str = '{"type": "bridge"}', version: int = 10) -> Json:
    """A network attachment definition."""
    return {
        "apiVersion": "k8s.cni.cncf.io/v1",
        "kind": "NetworkAttachmentDefinition",
        "metadata": metadata(name, uid=f"nad-{name}", version=version) | {"namespace": namespace},
        "spec": {"config": config},
    }


def known_attachments(
    nads: Sequence[Json] | None, *, changed_at: datetime | None = None, access: AttachmentAccess = EVERY_NAMESPACE
) -> KnownAttachments:
    """All network attachment definitions there are; None: nothing is known. `access`: those that a VM may use."""
    if nads is None:
        return KnownAttachments(access=access)
    found = [parse_attachment_definition(item, changed_at=changed_at) for item in nads]
    allowed = {item.key: item for item in found if access.allows(item.key, namespace=NAMESPACE)}
    return KnownAttachments(knowledge=Knowledge.COMPLETE, definitions=allowed, access=access)


def failed(name: str, *, removing: bool = False, at: datetime = NOW, message: str = "") -> PodFailure:
    """What the dynamic networks controller says about the NIC of that name."""
    verb, word = ("removing", "from") if removing else ("adding", "to")
    said = f"pod [{NAMESPACE}/{POD_NAME}]: failed {verb} interface {POD_INTERFACES[name]} {word} network: {name}-net"
    return PodFailure(
        pod_uid=POD_UID,
        interface=POD_INTERFACES[name],
        reason=FAILED_REMOVING if removing else FAILED_ADDING,
        message=message or said,
        heard_at=at,
    )


GRANTED = MigrationSlot(is_granted=True, inbound_node=TARGET_NODE)


def migration_view(
    raw: Json,
    vmi: Json | None,
    *pods: Json,
    others: Sequence[Json] = (),
    slot: MigrationSlot = GRANTED,
    nodes: Sequence[Json] | None = None,
    nads: Sequence[Json] | None = None,
    access: AttachmentAccess = EVERY_NAMESPACE,
    config: Json | None = None,
    refusal: Refusal | None = None,
    pending_since: datetime | None = None,
    gone: bool = True,
    cannot_start: str = "",
    foreign: Sequence[Json] = (),
    **more: Any,
) -> MigrationView:
    """What the planner of a migration sees; pods are those whose owner is the VMI's uid.

    `gone`: those of its pods that are not among `pods` are known not to exist, not only out of sight.
    `cannot_start`: what the kubelet says of the target pod.
    """
    record = a_vmi(vmi) if vmi is not None else None
    owned = [a_pod(pod) for pod in pods]
    migrations = sorted(map(a_migration, [raw, *others]), key=lambda item: (item.created or NOW, item.uid))
    return MigrationView(
        migration=a_migration(raw),
        vmi=record,
        pods=tuple(
            pod for pod in owned if record is not None and pod.owner is not None and pod.owner.uid == record.uid
        ),
        foreign_pods=tuple(map(a_pod, foreign)),
        records=gather_records(record, migrations, ()) if record is not None else (),
        migrations=tuple(migrations),
        config=a_config(config or kubevirt()),
        settings=PlanSettings(),
        nodes=tuple(map(parse_node, nodes)) if nodes is not None else None,
        attachments=known_attachments(nads, access=access),
        slot=slot,
        start_failures=(start_failure(cannot_start, pod_uid=TARGET_POD_UID),) if cannot_start else (),
        gone_pods=frozenset(_pods_of(raw, record)) if gone else frozenset(),
        refusal=refusal,
        report_pending_since=pending_since,
        **more,
    )


def start_failure(message: str, *, pod_uid: str = POD_UID) -> PodFailure:
    """What the kubelet says of a pod whose sandbox it cannot make."""
    about = {"uid": pod_uid}
    raw = {"involvedObject": about, "reason": FAILED_SANDBOX, "message": message}
    failure = parse_pod_failure(raw, now=NOW, is_new=True)
    assert failure is not None
    return failure


def _pods_of(raw: Json, record: VirtualMachineInstance | None) -> Iterator[PodKey]:
    """Target and source of a migration, whether or not they exist."""
    if record is not None:
        yield target_pod_key(record, migration_uid=raw["metadata"]["uid"])
    state = raw.get("status", {}).get("migrationState") or {}
    yield PodKey(NAMESPACE, state.get("sourcePod", ""))


def node(name: str, *, ready: bool = True, labels: Mapping[str, str] | None = None, **spec: Any) -> Json:
    """A node."""
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "uid": f"node-{name}", "labels": {"kubernetes.io/hostname": name, **(labels or {})}},
        "spec": spec,
        "status": {"conditions": [{"type": "Ready", "status": "True" if ready else "False"}]},
    }


def vm_view(
    raw: Json,
    *,
    vmi: Json | None = None,
    started_from: Json | None = None,
    revisions: Sequence[Json] = (),
    config: Json | None = None,
    has_config: bool = True,
    refusal: Refusal | None = None,
    pending_since: datetime | None = None,
    policy: HotplugPolicy | None = None,
) -> VmView:
    """What the planner of a VM sees; `started_from` is the revision of the VMI, and need not be in `revisions`."""
    known = [*revisions, *([started_from] if started_from is not None and started_from not in revisions else [])]
    configuration = a_config(config or kubevirt()) if has_config else None
    return VmView(
        vm=a_vm(raw),
        vmi=a_vmi(vmi) if vmi is not None else None,
        revision=a_revision(started_from) if started_from is not None else None,
        revisions=tuple(map(a_revision, known)),
        config=configuration,
        policy=policy or _policy_of(configuration),
        settings=PlanSettings(),
        refusal=refusal,
        report_pending_since=pending_since,
    )
