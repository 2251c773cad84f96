"""What a VM answers to `migrate`, and a pod to an eviction, which creates a migration."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from nicplug.model.conditions import FALSE, LIVE_MIGRATABLE
from nicplug.model.eviction import EvictionStrategy
from nicplug.model.frozen_json import freeze
from nicplug.model.keys import MigrationKey
from nicplug.model.kubevirt import KubevirtConfig
from nicplug.model.migration import Migration
from nicplug.model.names import LAUNCHER_LABEL_VALUE, MIGRATION_VMI_LABEL, VMI_KIND
from nicplug.model.pod import LauncherPod
from nicplug.model.vm import VirtualMachine
from nicplug.model.vmi import VirtualMachineInstance, VmiPhase, own_vmi, vmi_id
from nicplug.plan.actions import Create, Kind, PatchStatus, patch_status
from nicplug.plan.subresources.answers import ACCEPTED, Answer, Endpoint, bad_request, conflict, not_found
from nicplug.plan.subresources.options import DRY_RUN_OPTION, Body, GoType, is_dry_run, options_of, problem_of
from nicplug.plan.subresources.power import NOT_RUNNING, UNREADABLE
from nicplug.plan.vmi.disruption_budget import eviction_strategy

# What a VM answers to `migrate`: it creates a VirtualMachineInstanceMigration, unless that would obviously fail.
#
# KubeVirt's webhook refuses what cannot be migrated or is being migrated, and its API server turns that into a 500;
# nicplug answers 409 with the webhook's words.
#
# Source: KubeVirt 1.0 `pkg/virt-api/rest/subresource.go`, and the admitter of migrations
# (`validating-webhook/admitters/migration-create-admitter.go`).

NAME_PREFIX = "kubevirt-migrate-vm-"
_NODE_SELECTOR = "addedNodeSelector"
_OPTIONS = {DRY_RUN_OPTION: GoType.STRINGS, _NODE_SELECTOR: GoType.STRING_MAP}
_LONGEST_MESSAGE = 1024


def ask_migrate(
    body: Body,
    *,
    name: str,
    vm: VirtualMachine | None,
    vmi: VirtualMachineInstance | None,
    migrations: Sequence[Migration],
) -> Answer:
    """Migrate the running VM."""
    if problem := problem_of(body, struct="MigrateOptions", members=_OPTIONS):
        return bad_request(f"{UNREADABLE}{problem}")
    if vm is None:
        return not_found(Endpoint.VM, name)
    if vmi is None:
        return not_found(Endpoint.VMI, name)
    if vmi.phase is not VmiPhase.RUNNING or own_vmi(vmi, vm_uid=vm.uid) is None:
        return conflict(Endpoint.VM, name, NOT_RUNNING)
    if why := _objection(vmi, migrations):
        return conflict(Endpoint.VM, name, why)
    options = options_of(body, _OPTIONS)
    if is_dry_run(options):
        return ACCEPTED
    return replace(ACCEPTED, write=_create(vmi, migrations, node_selector=options.get(_NODE_SELECTOR)))


def _objection(vmi: VirtualMachineInstance, migrations: Sequence[Migration]) -> str:
    condition = vmi.status.condition(LIVE_MIGRATABLE)
    if condition.status == FALSE:
        return f"Cannot migrate VMI, Reason: {condition.reason}, Message: {condition.message[:_LONGEST_MESSAGE]}"
    active = next((item for item in migrations if not item.is_final), None)
    if active is None:
        return ""
    return (
        f"in-flight migration detected. Active migration job ({active.uid}) is currently already in progress for "
        f"VMI {vmi.key.name}."
    )


def _create(
    vmi: VirtualMachineInstance, migrations: Sequence[Migration], *, node_selector: Mapping[str, Any] | None
) -> Create:
    """Name it after the existing migrations: of several concurrent requests, one creates it and the others find it."""
    known = " ".join([vmi.uid, *sorted(item.uid for item in migrations)])
    name = f"{NAME_PREFIX}{hashlib.sha256(known.encode()).hexdigest()[:10]}"
    spec: dict[str, Any] = {"vmiName": vmi.key.name}
    if node_selector:
        spec[_NODE_SELECTOR] = dict(node_selector)
    metadata = {
        "name": name,
        "namespace": vmi.key.namespace,
        "labels": {MIGRATION_VMI_LABEL: vmi_id(vmi.key.name)},
    }
    return Create(
        kind=Kind.MIGRATION,
        key=MigrationKey(vmi.key.namespace, name),
        owner_uid="",
        body=freeze({"metadata": metadata, "spec": spec}),
    )


# The answer to an eviction of a pod, before the API server checks budgets.
#
# Source: KubeVirt 1.9 `pod-eviction-admitter.go`: its cases, texts and code; differences are in docs/differences.md.

EVACUATION_NODE = "evacuationNodeName"
"""The member of a VMI's status that names the node to leave."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EvictionAnswer:
    """The answer to an eviction.

    Attributes:
        refusal: why it is refused for now, as 429; "" to leave the decision to the API server's budgets.
        mark: what is written before the answer.
    """

    refusal: str = ""
    mark: PatchStatus | None = None


ALLOWED = EvictionAnswer()


def owner_of_guest(pod: LauncherPod) -> str:
    """Return the name of the VMI whose guest the eviction would stop; "" for a pod without one."""
    is_launcher = pod.label == LAUNCHER_LABEL_VALUE and pod.owner is not None and pod.owner.kind == VMI_KIND
    return pod.owner.name if is_launcher and pod.owner is not None and not pod.is_finished else ""


def ask_eviction(
    *, pod: LauncherPod, vmi: VirtualMachineInstance | None, config: KubevirtConfig | None
) -> EvictionAnswer:
    """Decide about an eviction.

    Args:
        pod: the pod to evict, for which `owner_of_guest` names `vmi`.
        vmi: None if there is none: the pod is being deleted.
    """
    if vmi is None or pod.owner is None or pod.owner.uid != vmi.uid:
        return ALLOWED
    match eviction_strategy(vmi, config):
        case EvictionStrategy.LIVE_MIGRATE if not vmi.is_migratable:
            name = vmi.key.name
            return EvictionAnswer(
                refusal=f"VMI {name} is configured with an eviction strategy but is not live-migratable"
            )
        case EvictionStrategy.LIVE_MIGRATE_IF_POSSIBLE if not vmi.is_migratable:
            return ALLOWED
        case None | EvictionStrategy.NONE:
            return ALLOWED
    # The descheduler searches for these words.
    triggered = f'Eviction triggered evacuation of VMI "{vmi.key}"'
    if vmi.node_name != pod.node_name:
        return EvictionAnswer(refusal="Eviction request for target Pod")
    if vmi.evacuation_node == pod.node_name:
        return EvictionAnswer(refusal=f"Evacuation in progress: {triggered}")
    # The node is a guard too: the guest is still where the pod is.
    mark = patch_status(vmi, {"nodeName": vmi.node_name, EVACUATION_NODE: vmi.node_name})
    return EvictionAnswer(refusal=triggered, mark=mark)
