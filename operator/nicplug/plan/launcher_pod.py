"""The manifest of a launcher pod, rendered from a VMI spec.

Source: KubeVirt 1.9 `pkg/virt-controller/services/template.go`, the part that NIC hot-plug and
migration need; volumes and devices of the guest belong to the node side.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

from nicplug.model.frozen_json import freeze, thaw
from nicplug.model.keys import PodKey
from nicplug.model.kubevirt import KubevirtConfig
from nicplug.model.metadata import mapping
from nicplug.model.names import (
    COMPUTE_CONTAINER,
    CREATED_BY_LABEL,
    DEFAULT_CONTAINER_ANNOTATION,
    DOMAIN_ANNOTATION,
    KUBEVIRT_API_VERSION,
    LAUNCHER_LABEL,
    LAUNCHER_LABEL_VALUE,
    MIGRATION_TRANSPORT_ANNOTATION,
    TEMPLATE_INTERFACES_ANNOTATION,
    VM_GENERATION_ANNOTATION,
    VM_NAME_LABEL,
    VMI_KIND,
)
from nicplug.model.vmi import VirtualMachineInstance
from nicplug.plan.actions import Create, Kind
from nicplug.plan.pod_networks import network_annotations
from nicplug.plan.views import PlanSettings

_DEFAULT_GRACE_SECONDS = 30
# KubeVirt gives the launcher this much longer than the guest, so that it can report the end.
_LAUNCHER_GRACE_SECONDS = 30
_NAME_DIGITS = 5
_NOT_FOR_PODS = (
    "k8s.v1.cni.cncf.io/",
    "v1.multus-cni.io/",
    "kubectl.kubernetes.io/",
    "kubevirt.io/latest-observed-api-version",
    "kubevirt.io/storage-observed-api-version",
    VM_GENERATION_ANNOTATION,
    TEMPLATE_INTERFACES_ANNOTATION,
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
    "hostname",
    "subdomain",
)


def launcher_pod_key(vmi: VirtualMachineInstance) -> PodKey:
    """`virt-launcher-<vmi>-<5 hex>`, from the uid: a repeated POST meets its own pod, not a second one."""
    digits = hashlib.sha256(vmi.uid.encode()).hexdigest()[:_NAME_DIGITS]
    return PodKey(vmi.key.namespace, f"virt-launcher-{vmi.key.name}-{digits}")


def create_launcher_pod(
    *, vmi: VirtualMachineInstance, settings: PlanSettings, config: KubevirtConfig | None = None
) -> Create:
    """The POST of the pod that will run this VMI.

    Args:
        config: the KubeVirt CR; None when there is none, and its defaults hold.
    """
    spec = mapping(thaw(vmi.spec))
    key = launcher_pod_key(vmi)
    body = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": key.name,
            "namespace": key.namespace,
            "labels": _labels(vmi, spec),
            "annotations": _annotations(vmi, config=config),
            "ownerReferences": [_owner(vmi)],
        },
        "spec": _pod_spec(spec, image=settings.launcher_image),
    }
    return Create(kind=Kind.POD, key=key, owner_uid=vmi.uid, body=freeze(body))


def _labels(vmi: VirtualMachineInstance, spec: Mapping[str, Any]) -> dict[str, str]:
    return {
        **thaw(vmi.labels),
        LAUNCHER_LABEL: LAUNCHER_LABEL_VALUE,
        CREATED_BY_LABEL: vmi.uid,
        VM_NAME_LABEL: str(spec.get("hostname") or vmi.key.name)[:63].rstrip("-."),
    }


def _annotations(vmi: VirtualMachineInstance, *, config: KubevirtConfig | None) -> dict[str, str]:
    return {
        **_annotations_for_pod(thaw(vmi.annotations)),
        DOMAIN_ANNOTATION: vmi.key.name,
        DEFAULT_CONTAINER_ANNOTATION: COMPUTE_CONTAINER,
        MIGRATION_TRANSPORT_ANNOTATION: "true",
        **network_annotations(vmi=vmi, config=config),
    }


def _annotations_for_pod(annotations: Mapping[str, str]) -> dict[str, str]:
    """The VMI's own annotations, as KubeVirt copies them; never one by which a tenant could ask for a network."""
    return {name: value for name, value in annotations.items() if not name.startswith(_NOT_FOR_PODS)}


def _owner(vmi: VirtualMachineInstance) -> dict[str, Any]:
    return {
        "apiVersion": KUBEVIRT_API_VERSION,
        "kind": VMI_KIND,
        "name": vmi.key.name,
        "uid": vmi.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def _pod_spec(spec: Mapping[str, Any], *, image: str) -> dict[str, Any]:
    grace = spec.get("terminationGracePeriodSeconds")
    grace_seconds = grace if isinstance(grace, int) else _DEFAULT_GRACE_SECONDS
    return {
        **{member: spec[member] for member in _COPIED_SPEC_MEMBERS if spec.get(member)},
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": grace_seconds + _LAUNCHER_GRACE_SECONDS,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "containers": [{"name": COMPUTE_CONTAINER, "image": image, "resources": _resources(spec)}],
    }


def _resources(spec: Mapping[str, Any]) -> dict[str, Any]:
    """What the VMI asks for explicitly; guest memory and cores when it asks for nothing."""
    domain = mapping(spec.get("domain"))
    resources = mapping(domain.get("resources"))
    requests = dict(mapping(resources.get("requests")))
    guest_memory = mapping(domain.get("memory")).get("guest")
    if "memory" not in requests and guest_memory:
        requests["memory"] = guest_memory
    cores = mapping(domain.get("cpu")).get("cores")
    if "cpu" not in requests and isinstance(cores, int) and cores > 0:
        requests["cpu"] = cores
    limits = dict(mapping(resources.get("limits")))
    return {name: value for name, value in (("requests", requests), ("limits", limits)) if value}
