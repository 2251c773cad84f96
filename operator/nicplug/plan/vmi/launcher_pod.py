"""The manifest of a launcher pod, rendered from a VMI spec.

Source: KubeVirt 1.9 `pkg/virt-controller/services/template.go`, the part that NIC hot-plug and
migration need; volumes and devices of the guest belong to the node side.
"""

import hashlib
import itertools
from collections.abc import Container, Iterable, Mapping
from typing import Any

from nicplug.elided import has_elided
from nicplug.model.attachments import KnownAttachments
from nicplug.model.frozen_json import freeze, read_object
from nicplug.model.keys import PodKey
from nicplug.model.kubevirt import DEFAULT_CPU_ALLOCATION_RATIO, KubevirtConfig
from nicplug.model.metadata import ControllerReference, mapping, objects, text
from nicplug.model.names import (
    COMPUTE_CONTAINER,
    CREATED_BY_LABEL,
    DEFAULT_CONTAINER_ANNOTATION,
    DOMAIN_ANNOTATION,
    KUBEVIRT_API_VERSION,
    LAUNCHER_LABEL,
    LAUNCHER_LABEL_VALUE,
    MIGRATION_JOB_LABEL,
    MIGRATION_TARGET_NODE_LABEL,
    MIGRATION_TRANSPORT_ANNOTATION,
    NODE_NAME_LABEL,
    OUTDATED_LAUNCHER_LABEL,
    POD_SPEC_ANNOTATION,
    UNPAUSED_CONDITION,
    VM_NAME_LABEL,
    VMI_ID_LABEL,
    VMI_KIND,
)
from nicplug.model.vmi import VirtualMachineInstance, vmi_id
from nicplug.plan.actions import Create, Kind
from nicplug.plan.views import PlanSettings
from nicplug.plan.vmi.new_pod_networks import device_counts, network_annotations
from nicplug.plan.vmi.pod_resources import pod_resources, with_devices

_NOTHING_KNOWN = KnownAttachments()
_DEFAULT_GRACE_SECONDS = 30
# KubeVirt gives the launcher this much longer than the guest, so that it can report the end.
_LAUNCHER_GRACE_SECONDS = 30
_NAME_PREFIX = "virt-launcher-"
_NAME_DIGITS = 5
_DIGEST_DIGITS = 16
NO_DIGEST = "0" * _DIGEST_DIGITS
"""Replaces the digest of a spec with elided parts: it may be complete at the next look."""
_LONGEST_POD_NAME = 253
_LONGEST_LABEL = 63
_OWN_PREFIX = "nicplug.io/"
# KubeVirt's labels that controllers write, and read on pods; set by a user, each would make a claim about the pod.
# Labels that every launcher pod has are overwritten anyway. All others belong to users: Services and policies select
# pods by them.
_LABELS_NOT_FOR_PODS = frozenset(
    {MIGRATION_JOB_LABEL, MIGRATION_TARGET_NODE_LABEL, NODE_NAME_LABEL, OUTDATED_LAUNCHER_LABEL}
)
# OVN-Kubernetes reads it from the pod: a guest on the pod network keeps its address when it is migrated.
_KUBEVIRT_ANNOTATIONS_FOR_PODS = frozenset({"kubevirt.io/allow-pod-bridge-network-live-migration"})
# KubeVirt's controllers note on a pod what they have done with it. With those of Multus a tenant could request
# networks.
_ANNOTATIONS_NOT_FOR_PODS = (
    "k8s.v1.cni.cncf.io/",
    "v1.multus-cni.io/",
    "kubectl.kubernetes.io/",
    "kubevirt.io/",
    _OWN_PREFIX,
)
_COPIED_SPEC_MEMBERS = (
    "affinity",
    "nodeSelector",
    "tolerations",
    "topologySpreadConstraints",
    "schedulerName",
    "priorityClassName",
    "dnsPolicy",
    "dnsConfig",
    "subdomain",
)


def launcher_pod_key(vmi: VirtualMachineInstance) -> PodKey:
    """`virt-launcher-<vmi>-<5 hex>`, from the uid: a repeated POST meets its own pod, and creates no second one."""
    return _pod_key(vmi, seed=vmi.uid)


def target_pod_key(vmi: VirtualMachineInstance, *, migration_uid: str, after: Iterable[str] = ()) -> PodKey:
    """`virt-launcher-<vmi>-<5 hex>` of the pod that a migration moves the VMI to.

    Args:
        after: uid of the pod that it replaces, which may still have its name.
    """
    return _pod_key(vmi, seed="/".join((vmi.uid, migration_uid, *after)))


def free_pod_key(
    vmi: VirtualMachineInstance, first: PodKey, *, migration_uid: str = "", taken: Container[PodKey], salt: str
) -> PodKey:
    """The first name that no pod of another creator has.

    The first candidate is the same for every leader, so that two of them create one pod. Anybody can compute and take
    it; the others follow from a secret of this process, so they cannot be taken in advance.
    """
    if first not in taken:
        return first
    names = (_pod_key(vmi, seed=f"{salt}/{vmi.uid}/{migration_uid}/{count}") for count in itertools.count(1))
    return next(name for name in names if name not in taken)


def _pod_key(vmi: VirtualMachineInstance, *, seed: str) -> PodKey:
    digits = hashlib.sha256(seed.encode()).hexdigest()[:_NAME_DIGITS]
    longest = _LONGEST_POD_NAME - len(_NAME_PREFIX) - 1 - len(digits)
    return PodKey(vmi.key.namespace, f"{_NAME_PREFIX}{vmi.key.name[:longest].rstrip('-.')}-{digits}")


def create_launcher_pod(
    *,
    vmi: VirtualMachineInstance,
    settings: PlanSettings,
    config: KubevirtConfig | None = None,
    attachments: KnownAttachments = _NOTHING_KNOWN,
    left_out: frozenset[str] = frozenset(),
    taken: Container[PodKey] = frozenset(),
) -> Create:
    """Render the POST of the pod that will run this VMI.

    Args:
        config: the KubeVirt CR; None when there is none; defaults apply.
        attachments: the definitions, which name the device that a network needs.
        left_out: networks that the pod is created without.
        taken: names of other creators' pods.
    """
    key = free_pod_key(vmi, launcher_pod_key(vmi), taken=taken, salt=settings.name_salt)
    spec = _pod_spec(vmi, settings=settings, config=config)
    annotations = _annotations(vmi, config=config, known=attachments, left_out=left_out)
    body = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": key.name,
            "namespace": key.namespace,
            "labels": _labels(vmi, hostname=spec["hostname"]),
            "annotations": {**annotations, POD_SPEC_ANNOTATION: _digest(spec)},
            "ownerReferences": [controlled_by(vmi)],
        },
        "spec": _with_devices(spec, device_counts(vmi, known=attachments, left_out=left_out)),
    }
    return Create(kind=Kind.POD, key=key, owner_uid=vmi.uid, body=freeze(body))


def _with_devices(spec: Mapping[str, Any], devices: Mapping[str, int]) -> dict[str, Any]:
    """Add devices; not in the digest: a definition that is corrected or unreadable is no change of the VMI."""
    (compute,) = spec["containers"]
    return {**spec, "containers": [{**compute, "resources": with_devices(compute["resources"], devices)}]}


def pod_spec_digest(vmi: VirtualMachineInstance, *, settings: PlanSettings, config: KubevirtConfig | None) -> str:
    """Digest of what a launcher pod was created with; additions by others to a pod's spec are not in it."""
    return _digest(_pod_spec(vmi, settings=settings, config=config))


def _digest(spec: Mapping[str, Any]) -> str:
    if has_elided(spec):
        return NO_DIGEST
    return hashlib.sha256(freeze(spec).encode()).hexdigest()[:_DIGEST_DIGITS]


def _account(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The pod's ServiceAccount; its token is mounted only for a volume of that kind.

    Source: KubeVirt 1.9 `template.go` (`renderLaunchManifest`), but for Istio, whose sidecar brings a token of its own
    (docs/differences.md).
    """
    volumes = (mapping(volume.get("serviceAccount")) for volume in objects(spec.get("volumes")))
    of_volume = next((text(source.get("serviceAccountName")) for source in volumes if source), "")
    name = text(spec.get("serviceAccountName")) or of_volume
    return {**({"serviceAccountName": name} if name else {}), "automountServiceAccountToken": bool(of_volume)}


def _labels(vmi: VirtualMachineInstance, *, hostname: str) -> dict[str, str]:
    """The VMI's labels, except those by which a pod would pass for something else, and those of every launcher pod."""
    own = {name: value for name, value in read_object(vmi.labels).items() if _is_label_for_pods(name)}
    return {
        **own,
        LAUNCHER_LABEL: LAUNCHER_LABEL_VALUE,
        CREATED_BY_LABEL: vmi.uid,
        VM_NAME_LABEL: hostname if len(hostname) <= _LONGEST_LABEL else hostname[:_LONGEST_LABEL].rstrip("-."),
        VMI_ID_LABEL: vmi_id(vmi.key.name),
    }


def _hostname(vmi: VirtualMachineInstance, spec: Mapping[str, Any]) -> str:
    """The requested host name, else the first part of the VMI's name, cut to the maximum length of a host name.

    Source: KubeVirt `pkg/util/net/dns`, `SanitizeHostname`.
    """
    if asked := text(spec.get("hostname")):
        return asked
    return vmi.key.name.partition(".")[0][:_LONGEST_LABEL].rstrip("-")


def _annotations(
    vmi: VirtualMachineInstance, *, config: KubevirtConfig | None, known: KnownAttachments, left_out: frozenset[str]
) -> dict[str, str]:
    return {
        **_annotations_for_pod(vmi.read_annotations()),
        DOMAIN_ANNOTATION: vmi.key.name,
        DEFAULT_CONTAINER_ANNOTATION: COMPUTE_CONTAINER,
        MIGRATION_TRANSPORT_ANNOTATION: "true",
        **network_annotations(vmi=vmi, config=config, known=known, left_out=left_out),
    }


def _annotations_for_pod(annotations: Mapping[str, str]) -> dict[str, str]:
    """The VMI's annotations, except those that controllers write and those by which a tenant could request a network.

    Source: KubeVirt 1.9 `filterVMIAnnotationsForPod`, which excludes only `kubectl.kubernetes.io` and two of its own
    (docs/differences.md).
    """
    return {
        name: value
        for name, value in annotations.items()
        if name in _KUBEVIRT_ANNOTATIONS_FOR_PODS or not name.startswith(_ANNOTATIONS_NOT_FOR_PODS)
    }


def _is_label_for_pods(name: str) -> bool:
    """True if a label of the VMI is copied to its pods.

    With nicplug's own prefix the mark for elided labels is excluded: any of them may be among those.
    """
    return name not in _LABELS_NOT_FOR_PODS and not name.startswith(_OWN_PREFIX)


def controlled_by(vmi: VirtualMachineInstance) -> dict[str, Any]:
    """Owner reference (a row of `metadata.ownerReferences`) of objects that belong to the VMI."""
    owner = ControllerReference(api_version=KUBEVIRT_API_VERSION, kind=VMI_KIND, name=vmi.key.name, uid=vmi.uid)
    return owner.to_row()


def _pod_spec(vmi: VirtualMachineInstance, *, settings: PlanSettings, config: KubevirtConfig | None) -> dict[str, Any]:
    spec = vmi.read_spec()
    ratio = config.cpu_allocation_ratio if config is not None else DEFAULT_CPU_ALLOCATION_RATIO
    compute = {
        "name": COMPUTE_CONTAINER,
        "image": settings.launcher_image,
        "resources": pod_resources(spec, cpu_allocation_ratio=ratio),
    }
    grace = spec.get("terminationGracePeriodSeconds")
    grace_seconds = grace if isinstance(grace, int) else _DEFAULT_GRACE_SECONDS
    return {
        **{member: spec[member] for member in _COPIED_SPEC_MEMBERS if spec.get(member)},
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": grace_seconds + _LAUNCHER_GRACE_SECONDS,
        **_account(spec),
        "enableServiceLinks": False,
        "readinessGates": [{"conditionType": UNPAUSED_CONDITION}],
        "hostname": _hostname(vmi, spec),
        "containers": [compute],
    }
