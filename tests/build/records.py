"""The records that the operator parses from raw objects, and what needs one to be made.

Objects are raw on purpose: every test of a planner covers the parsers too.
"""

import copy
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from tests.build.objects import (
    MIGRATION_UID,
    NAMESPACE,
    NOW,
    POD_INTERFACES,
    POD_NAME,
    POD_UID,
    TARGET_NODE,
    TARGET_POD_UID,
    VMI_UID,
    Json,
    pod,
    vmi,
)

from nicplug.model.attachments import Knowledge, KnownAttachments, parse_attachment_definition
from nicplug.model.dynamic_controller import ControllerState, DynamicController
from nicplug.model.kubevirt import KubevirtConfig, parse_kubevirt
from nicplug.model.migration import Migration, parse_migration
from nicplug.model.nad_policy import AttachmentAccess
from nicplug.model.pod import LauncherPod, parse_pod
from nicplug.model.pod_failures import FAILED_ADDING, FAILED_REMOVING, FAILED_SANDBOX, PodFailure, parse_pod_failure
from nicplug.model.revision import VmRevision, parse_revision
from nicplug.model.vm import VirtualMachine, parse_vm
from nicplug.model.vmi import VirtualMachineInstance, parse_vmi
from nicplug.plan.vmi.launcher_pod import target_pod_key

EVERY_NAMESPACE = AttachmentAccess(shared=None, rule="nadPolicy Any")
CONTROLLER = DynamicController(state=ControllerState.READY, daemon_set="kube-system/dynamic-networks-controller-ds")


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


NOT_INSTALLED = KnownAttachments(knowledge=Knowledge.NOT_INSTALLED)


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


def start_failure(message: str, *, pod_uid: str = POD_UID) -> PodFailure:
    """What the kubelet says of a pod whose sandbox it cannot make."""
    about = {"uid": pod_uid}
    raw = {"involvedObject": about, "reason": FAILED_SANDBOX, "message": message}
    failure = parse_pod_failure(raw, now=NOW, is_new=True)
    assert failure is not None
    return failure
