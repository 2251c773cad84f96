"""The migrations that nicplug makes by itself, so that a running VM gets what its spec asks for.

Source: KubeVirt 1.9 `pkg/virt-controller/watch/workload-updater`: its names, annotation and priority. What its webhook
adds to every migration, the label and the finalizer, is there from the start.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

from nicplug.model.frozen_json import freeze
from nicplug.model.keys import MigrationKey
from nicplug.model.names import (
    KUBEVIRT_API_VERSION,
    MIGRATION_FINALIZER,
    MIGRATION_INTERFACES_ANNOTATION,
    MIGRATION_KIND,
    MIGRATION_VMI_LABEL,
    VMI_KIND,
    WORKLOAD_UPDATE_ANNOTATION,
    WORKLOAD_UPDATE_PREFIX,
)
from nicplug.model.vmi import VirtualMachineInstance, vmi_id
from nicplug.plan.actions import Create, Kind
from nicplug.plan.nic.path.causes import format_causes

_NAME_DIGITS = 10
# Of what a user waits for: before maintenance, behind what keeps the cluster alive.
_PRIORITY = "user-triggered"


def migration_key(vmi: VirtualMachineInstance, *, cause: str) -> MigrationKey:
    """`kubevirt-workload-update-<10 hex>`: a repeated POST for one cause meets its own migration, not a second one.

    Args:
        cause: what the migration is for, and which attempt at it: another one gives another name.
    """
    digits = hashlib.sha256(f"{vmi.uid}/{cause}".encode()).hexdigest()[:_NAME_DIGITS]
    return MigrationKey(vmi.key.namespace, f"{WORKLOAD_UPDATE_PREFIX}{digits}")


def create_migration(*, vmi: VirtualMachineInstance, cause: str, interfaces: Mapping[str, str] | None = None) -> Create:
    """The POST of a migration of this VMI; see `migration_key`.

    It names the VMI's uid as its owner, which KubeVirt's do not: so it can move no later VMI of the same name.

    Args:
        interfaces: the NICs that it is for, and what they are now (`plan.nic.path.causes`).
    """
    key = migration_key(vmi, cause=cause)
    owner: dict[str, Any] = {
        "apiVersion": KUBEVIRT_API_VERSION,
        "kind": VMI_KIND,
        "name": vmi.key.name,
        "uid": vmi.uid,
        "controller": True,
    }
    body = {
        "apiVersion": KUBEVIRT_API_VERSION,
        "kind": MIGRATION_KIND,
        "metadata": {
            "name": key.name,
            "namespace": key.namespace,
            "labels": {MIGRATION_VMI_LABEL: vmi_id(vmi.key.name)},
            "annotations": {WORKLOAD_UPDATE_ANNOTATION: "", **_made_for(interfaces or {})},
            "finalizers": [MIGRATION_FINALIZER],
            "ownerReferences": [owner],
        },
        "spec": {"vmiName": vmi.key.name, "priority": _PRIORITY},
    }
    return Create(kind=Kind.MIGRATION, key=key, owner_uid=vmi.uid, body=freeze(body))


def _made_for(interfaces: Mapping[str, str]) -> dict[str, str]:
    return {MIGRATION_INTERFACES_ANNOTATION: format_causes(interfaces)} if interfaces else {}
