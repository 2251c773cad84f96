"""The migrations that nicplug makes by itself, so that a running VM gets what its spec asks for.

Source: KubeVirt 1.9 `pkg/virt-controller/watch/workload-updater`: its names, annotation and priority. What its webhook
adds to every migration, the label and the finalizer, is there from the start.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nicplug.model.frozen_json import freeze
from nicplug.model.keys import MigrationKey
from nicplug.model.migration import Migration
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
from nicplug.plan.views import VmiView

_NAME_DIGITS = 10
_FIRST = "first"


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationJob:
    """What a migration of nicplug's is for.

    Attributes:
        prefix: of its name.
        annotations: by which others know what it is for.
    """

    prefix: str
    priority: str
    annotations: Mapping[str, str]


def workload_update(interfaces: Mapping[str, str] | None = None) -> MigrationJob:
    """A migration that brings NICs to a VM.

    Args:
        interfaces: the NICs that it is for, and what they are now (`plan.nic.path.causes`).
    """
    annotations = {WORKLOAD_UPDATE_ANNOTATION: "", **_made_for(interfaces or {})}
    # Of what a user waits for: before maintenance, behind what keeps the cluster alive.
    return MigrationJob(prefix=WORKLOAD_UPDATE_PREFIX, priority="user-triggered", annotations=annotations)


def migration_key(vmi: VirtualMachineInstance, *, cause: str, prefix: str = WORKLOAD_UPDATE_PREFIX) -> MigrationKey:
    """`<prefix><10 hex>`: a repeated POST for one cause meets its own migration, not a second one.

    Args:
        cause: what the migration is for, and which attempt at it: another one gives another name.
    """
    digits = hashlib.sha256(f"{vmi.uid}/{cause}".encode()).hexdigest()[:_NAME_DIGITS]
    return MigrationKey(vmi.key.namespace, f"{prefix}{digits}")


def next_cause(view: VmiView, *, prefix: str) -> str:
    """What the name is made of: the migration that this one comes after.

    Not what it is for: of that, two leaders may know different things, and would make two. Creation times have whole
    seconds, so the last of two is the one that none was made after: the other one's successor has that name already.
    Nor whether one of ours still says that it is: of that, too, they may know different things, and its name is taken.
    """
    taken = {item.key for item in view.migrations}
    newest_first = view.migrations[::-1]
    ours = [item for item in newest_first if _has_our_name(item, vmi_uid=view.vmi.uid, prefix=prefix)]
    others = [item for item in newest_first if item not in ours]
    # One more than there are migrations, so that one is free whoever has which name.
    causes = (*(f"after {item.uid}" for item in ours), _FIRST, *(f"after {item.uid}" for item in others))
    return next((item for item in causes if migration_key(view.vmi, cause=item, prefix=prefix) not in taken), _FIRST)


def _has_our_name(migration: Migration, *, vmi_uid: str, prefix: str) -> bool:
    """It was made by us, whatever somebody has taken from it since, or passes for it."""
    return migration.key.name.startswith(prefix) and migration.owner_vmi_uid in ("", vmi_uid)


def create_migration(*, vmi: VirtualMachineInstance, cause: str, job: MigrationJob) -> Create:
    """The POST of a migration of this VMI; see `migration_key`.

    It names the VMI's uid as its owner, which KubeVirt's do not: so it can move no later VMI of the same name.
    """
    key = migration_key(vmi, cause=cause, prefix=job.prefix)
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
            "annotations": dict(job.annotations),
            "finalizers": [MIGRATION_FINALIZER],
            "ownerReferences": [owner],
        },
        "spec": {"vmiName": vmi.key.name, "priority": job.priority},
    }
    return Create(kind=Kind.MIGRATION, key=key, owner_uid=vmi.uid, body=freeze(body))


def _made_for(interfaces: Mapping[str, str]) -> dict[str, str]:
    return {MIGRATION_INTERFACES_ANNOTATION: format_causes(interfaces)} if interfaces else {}
