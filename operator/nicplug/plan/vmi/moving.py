"""Migration in progress of a VMI, and the networks of the pod it moves to."""

from datetime import datetime

from nicplug.model.metadata import text
from nicplug.model.migration import Migration, MigrationPhase
from nicplug.model.networks_annotation import Element, is_hashed_name, is_ordinal_name
from nicplug.model.per_pass import once_per_pass
from nicplug.model.pod import LauncherPod
from nicplug.model.vmi import VirtualMachineInstance
from nicplug.plan.actions import PatchMigrationState
from nicplug.plan.nic.observed import MigrationInProgress, elements_asked_for, networks_asked_for, new_pod_names
from nicplug.plan.nic.path.blame import changes_of
from nicplug.plan.nic.path.messages import remedy_for
from nicplug.plan.nic.path.migration_history import backoff_until, spaced_until
from nicplug.plan.views import VmiView
from nicplug.plan.vmi.own_pods import target_key
from nicplug.plan.vmi.state_patches import mark_failed

# How often the target pod of a migration is replaced because the VM's NICs changed after it was created.
#
# The migration's planner replaces it (`plan.migration.target`). The VMI's planner requests NICs from the running pod
# in place only while a target pod without them would be replaced.

MOST_RENEWALS = 5
"""Limit of replaced target pods that could have gone on: a drain must not wait for a user indefinitely."""
_BEFORE_HAND_OFF = frozenset({MigrationPhase.PENDING, MigrationPhase.SCHEDULING, MigrationPhase.SCHEDULED})


def is_renewable(migration: Migration) -> bool:
    """True if a target pod that lacks a NIC that the VM requests is replaced before the hand-off.

    A stuck one loses nothing by that: its time goes on, so it is replaced without limit.
    """
    is_before_hand_off = migration.phase in _BEFORE_HAND_OFF and not migration.deleting
    return is_before_hand_off and (migration.is_stuck or migration.renewal.count < MOST_RENEWALS)


# Before the hand-off NICs are requested from the pod as if it stayed: a target pod that lacks one is replaced
# (`plan.migration.target`). From then on the source pod is not changed: a change of only one of the two pods would be
# lost, or be in the guest of neither.


def is_moving(view: VmiView) -> bool:
    """True while a target pod exists, or an unfinished migration says so, until both node agents have finished."""
    return target_pod(view) is not None or any(item.has_target for item in _under_way(view))


def leaves_its_pod(view: VmiView) -> bool:
    """True if it is handed over to another pod, or may be to one that lacks NICs requested from now on."""
    if not is_moving(view):
        return False
    if view.vmi.migration_state.is_active:
        return True
    target = target_pod(view)
    key = target.key if target is not None else None
    owners = [
        item
        for item in _under_way(view)
        if item.has_target or target_key(view, view.vmi, migration_uid=item.uid) == key
    ]
    return not owners or not view.settings.renews_target_pods or not all(map(is_renewable, owners))


@once_per_pass
def target_pod(view: VmiView) -> LauncherPod | None:
    """The live pod that the VMI moves to, or has just moved to while its migration goes on; None when there is none.

    Only pods that nicplug created count: anyone who may create pods may name our VMI as their owner and label them.
    """
    state = view.vmi.migration_state
    names = {target_key(view, view.vmi, migration_uid=item.uid) for item in _under_way(view)}
    found = [pod for pod in view.pods if not pod.is_finished]
    handed_off = [pod for pod in found if state.is_active and pod.key.name == state.target_pod]
    made = [pod for pod in found if pod.key in names]
    return next(iter((*handed_off, *made)), None)


def migration_in_progress_of(view: VmiView) -> MigrationInProgress | None:
    """The migration in progress, as the NICs see it; None if there is none, or only a cancelled one."""
    pod, state = target_pod(view), view.vmi.migration_state
    found = [item for item in _under_way(view) if item.has_target or not item.deleting or pod is not None]
    if not found and pod is None:
        # Its end is not reported, so none can follow it, though the node agents have finished it.
        found = [item for item in view.migrations if item.foreign_phase and not item.deleting]
    networks = _networks_of(pod, view.vmi) if pod is not None else None
    if not found:
        name = f"a migration ({state.migration_uid})"
        return (
            MigrationInProgress(name=name, is_own=False, has_target=True, networks=networks)
            if pod is not None
            else None
        )
    names = {item.uid: target_key(view, view.vmi, migration_uid=item.uid) for item in found}
    leading = [item for item in found if item.uid == state.migration_uid and state.is_active]
    leading += [item for item in found if pod is not None and names[item.uid] == pod.key]
    leading += [item for item in found if item.has_target]
    migration = next(iter((*leading, *found)))
    waits = (
        backoff_until(migration, migrations=view.migrations, vmi=view.vmi, known=view.attachments),
        spaced_until(migration, migrations=view.migrations, vmi=view.vmi),
    )
    return MigrationInProgress(
        name=migration.key.name,
        is_own=migration.is_workload_update(vmi_uid=view.vmi.uid),
        waits_for=migration.progress,
        next_try=max((found[0] for found in waits if found is not None), default=None),
        is_stuck=migration.is_stuck,
        remedy=remedy_for(migration.progress_reason) if migration.is_stuck else "",
        foreign_phase=migration.foreign_phase,
        has_target=is_moving(view),
        is_renewable=not leaves_its_pod(view),
        target=pod.key.name if pod is not None else "",
        made_for=frozenset(changes_of(migration)) if migration.is_workload_update(vmi_uid=view.vmi.uid) else None,
        networks=networks,
    )


def nics_left_behind(view: VmiView, pod: LauncherPod) -> frozenset[str]:
    """NICs that the handed-over target pod lacks, or has on another network: no guest is given them now.

    The guest could not be loaded there; what it has already it had before the hand-off, which compared the target.
    """
    target, vmi = target_pod(view), view.vmi
    if not view.vmi.migration_state.is_active or not is_moving(view) or target == pod:
        return frozenset()
    brought = elements_asked_for(target) if target is not None else {}
    names = new_pod_names(vmi, target) if target is not None else {}
    macs = {interface.name: interface.mac_address for interface in vmi.interfaces}
    namespace = vmi.key.namespace
    return frozenset(
        network.name
        for network in vmi.networks
        if network.is_secondary
        and not _brings(
            brought.get(names.get(network.name, "")),
            network.attachment_reference(namespace=namespace),
            mac=macs.get(network.name, ""),
            namespace=namespace,
        )
    )


def _brings(element: Element | None, reference: tuple[str, str], *, mac: str, namespace: str) -> bool:
    """True if an element is of that network, with the MAC address of the spec, if it names one."""
    if element is None or (text(element.get("namespace")) or namespace, text(element.get("name"))) != reference:
        return False
    return not mac or text(element.get("mac")) == mac


def brings_unwanted(view: VmiView) -> bool:
    """True if the target pod was created with a NIC that is no longer wanted, or with an earlier network of it.

    A pod that cannot start because of it would be waited for in vain, and with it the wanted NICs.
    """
    pod, vmi = target_pod(view), view.vmi
    if pod is None:
        return False
    asked, names = networks_asked_for(pod, namespace=vmi.key.namespace), new_pod_names(vmi, pod)
    is_a_nics = is_ordinal_name if any(map(is_ordinal_name, names.values())) else is_hashed_name
    absent = {interface.name for interface in vmi.interfaces if interface.is_absent}
    wanted = {
        names[network.name]: network.reference(namespace=vmi.key.namespace)
        for network in vmi.networks
        if network.is_secondary and network.name not in absent
    }
    return any(is_a_nics(name) and wanted.get(name) != asked[name] for name in asked)


def _networks_of(pod: LauncherPod, vmi: VirtualMachineInstance) -> dict[str, str]:
    """The network that the pod has for each NIC of the spec; a NIC that the pod lacks is missing."""
    asked = networks_asked_for(pod, namespace=vmi.key.namespace)
    return {name: asked[interface] for name, interface in new_pod_names(vmi, pod).items() if interface in asked}


def _under_way(view: VmiView) -> list[Migration]:
    """Migrations that have ended neither by their own status nor by the node agents' report."""
    state = view.vmi.migration_state
    over = state.migration_uid if not state.is_active else ""
    return [item for item in view.migrations if not item.is_final and item.uid != over]


# A VMI whose state names a migration that does not exist.


def end_lost_migration(view: VmiView, *, now: datetime) -> PatchMigrationState | None:
    """Mark a lost migration as ended, or the pod would never be asked for a NIC again.

    While the target pod lives, its node agents go on or it is deleted as a stray; a guest that has arrived stays.
    """
    state = view.vmi.migration_state
    if not view.has_lost_migration or state.target_ready_at is not None:
        return None
    if any(pod.key.name == state.target_pod and not pod.is_down for pod in view.pods):
        return None
    return mark_failed(view.vmi, reason="the migration does not exist any more", now=now)
