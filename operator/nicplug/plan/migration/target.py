"""The target pod of a migration: rendered, recreated if the NICs change, and looked up by name if not visible."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from nicplug.model.frozen_json import freeze, thaw
from nicplug.model.keys import PodKey
from nicplug.model.metadata import mapping, sequence, text
from nicplug.model.migration import MigrationPhase, TargetRenewal
from nicplug.model.names import (
    CREATED_BY_LABEL,
    MIGRATION_FINALIZER,
    MIGRATION_JOB_LABEL,
    MIGRATION_JOB_NAME_ANNOTATION,
)
from nicplug.model.networks_annotation import (
    UnreadableAnnotation,
    asks_the_same,
    hashed_interface_name,
    is_hashed_name,
    parse_annotation,
    plugin_interface_name,
)
from nicplug.model.pod import LauncherPod, PodRecord
from nicplug.model.vmi import VirtualMachineInstance
from nicplug.plan.actions import Create, FindPod, Kind
from nicplug.plan.migration.eligibility import find_obstacle
from nicplug.plan.migration.facts import MigrationFacts, gather_migration_facts
from nicplug.plan.migration.target_networks import (
    as_it_moves,
    nics_not_brought,
    target_selector,
    unusable_networks,
    with_networks_that_work,
)
from nicplug.plan.migration.timeouts import waits_since
from nicplug.plan.nic.observed import elements_asked_for
from nicplug.plan.views import MigrationView
from nicplug.plan.vmi.launcher_pod import create_launcher_pod, free_pod_key
from nicplug.plan.vmi.moving import MOST_RENEWALS, is_renewable
from nicplug.plan.vmi.new_pod_networks import elements_at_birth
from nicplug.plan.vmi.own_pods import next_target_key, taken_names, target_key, uids_of_target

# Pods that are not visible are looked up by name before anything is concluded from it: pods are watched by a label,
# and one that only lost it looks deleted. A migration that failed because of it would leave its target pod behind
# indefinitely, or delete it under a guest that is just arriving.


def find_unseen_pod(view: MigrationView, facts: MigrationFacts) -> FindPod | None:
    """Look up the pod that the next decision is about; None if it is visible, or known not to exist."""
    vmi, migration = facts.vmi, facts.migration
    if vmi is None:
        return None
    if migration.is_between_targets:
        return _find_replaced(view, vmi)
    key = _needed(view, facts)
    if key is None or key in view.gone_pods or any(pod.key == key for pod in view.pods):
        return None
    return _find(view, vmi, key, uids_of_target(view, vmi, migration=migration))


def _find(view: MigrationView, vmi: VirtualMachineInstance, key: PodKey, uids: frozenset[str] | None) -> FindPod:
    migration = view.migration
    return FindPod(key=key, migration=migration.key, migration_uid=migration.uid, owner_uid=vmi.uid, uids=uids)


def _find_replaced(view: MigrationView, vmi: VirtualMachineInstance) -> FindPod | None:
    """Look up a replaced pod before the next one is created: it would never be deleted."""
    replaced = view.migration.renewal.replaced[-1]
    is_seen = any(pod.uid == replaced.uid for pod in (*view.pods, *view.foreign_pods))
    if is_seen or replaced.key in view.gone_pods:
        return None
    return _find(view, vmi, replaced.key, frozenset({replaced.uid}))


def _needed(view: MigrationView, facts: MigrationFacts) -> PodKey | None:
    vmi, migration = facts.vmi, facts.migration
    if vmi is None:
        return None
    target = target_key(view, vmi, migration_uid=migration.uid)
    if not migration.is_final:
        return target if migration.has_target and not vmi.is_final else None
    # Once the finalizer is gone the migration has finished with its pods.
    if MIGRATION_FINALIZER not in migration.finalizers or migration.entered_at(MigrationPhase.PENDING) is None:
        return None
    if migration.phase is MigrationPhase.FAILED:
        return target
    source = migration.migration_state.source_pod
    return PodKey(vmi.key.namespace, source) if source else None


# Source: KubeVirt 1.9 `migration.go` (`createTargetPod`), `services/template.go` (`RenderMigrationManifest`).

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"


def create_target_pod(view: MigrationView, vmi: VirtualMachineInstance) -> Create:
    """Render the POST of the target pod; its name follows from the uids of VMI and migration."""
    migration = view.migration
    vmi, left_out = _with_its_networks(view, vmi)
    launcher = create_launcher_pod(
        vmi=vmi,
        settings=view.settings,
        config=view.config,
        attachments=view.attachments,
        left_out=left_out,
    )
    first = next_target_key(vmi, view.migrations, migration_uid=migration.uid)
    key = free_pod_key(vmi, first, migration_uid=migration.uid, taken=taken_names(view), salt=view.settings.name_salt)
    body: dict[str, Any] = thaw(launcher.body)
    metadata, spec = body["metadata"], body["spec"]
    metadata["name"] = key.name
    metadata["labels"][MIGRATION_JOB_LABEL] = migration.uid
    metadata["annotations"][MIGRATION_JOB_NAME_ANNOTATION] = migration.key.name
    spec["affinity"] = _away_from_source(mapping(spec.get("affinity")), vmi_uid=vmi.uid)
    if selector := target_selector(view, vmi):
        spec["nodeSelector"] = selector
    return Create(kind=Kind.POD, key=key, owner_uid=launcher.owner_uid, body=freeze(body), made_for=migration.uid)


def _with_its_networks(
    view: MigrationView, vmi: VirtualMachineInstance
) -> tuple[VirtualMachineInstance, frozenset[str]]:
    """The VMI as it moves, and the networks that the pod is created without."""
    vmi = with_networks_that_work(vmi, view.migration, source=gather_migration_facts(view).source)
    left_out = nics_not_brought(view, vmi) | unusable_networks(vmi, known=view.attachments).keys()
    return as_it_moves(vmi), left_out


def _away_from_source(affinity: Mapping[str, Any], *, vmi_uid: str) -> dict[str, Any]:
    """The VMI's affinity, and the rule never to run on the node of another pod of the VMI."""
    term = {
        "labelSelector": {"matchLabels": {CREATED_BY_LABEL: vmi_uid}},
        "topologyKey": "kubernetes.io/hostname",
    }
    apart = mapping(affinity.get("podAntiAffinity"))
    return {**affinity, "podAntiAffinity": {**apart, _REQUIRED: [*sequence(apart.get(_REQUIRED)), term]}}


# Until the hand-off NICs are requested from the running pod in place, so that none of them waits for a stuck target
# pod. A guest cannot move to a pod that lacks one of its NICs: the copy would fail at its end. KubeVirt hands over to
# such a pod (docs/differences.md).

_WITH_TARGET = (MigrationPhase.SCHEDULING, MigrationPhase.SCHEDULED)
_MOST_NAMED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Outdated:
    """Differences between a target pod and one that would be created now.

    Attributes:
        lacking: NICs that the guest has, or may have at any moment, and that the pod lacks: it cannot be moved to.
        others: NICs that the VM requests and that the pod lacks, or has with other settings.
        surplus: NICs that the pod has and that are no longer wanted. They are unplugged once the VM has moved.
    """

    lacking: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    surplus: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewal:
    """Replacement of the target pod.

    Attributes:
        record: the new record in the migration's status.
        message: why, as text.
    """

    record: TargetRenewal
    message: str


def find_renewal(view: MigrationView, facts: MigrationFacts, *, now: datetime) -> Renewal | None:
    """Compare the target pod with one that would be created now; None if it may stay."""
    pod, vmi = facts.target, facts.vmi
    if pod is None or vmi is None or not facts.can_move or facts.migration.deleting:
        return None
    if facts.migration.phase not in _WITH_TARGET or facts.is_handed_off:
        return None
    outdated = find_outdated(view, vmi, pod)
    if outdated.lacking:
        return _renewal(facts, pod, outdated.lacking, now=now)
    # A surplus NIC matters only if it keeps the pod from starting, when its network is gone.
    changed = (*outdated.others, *(outdated.surplus if facts.migration.is_stuck else ()))
    if not changed or not is_renewable(facts.migration) or _is_obstructed(view, pod, now=now):
        return None
    return _renewal(facts, pod, changed, now=now)


def find_outdated(view: MigrationView, vmi: VirtualMachineInstance, pod: LauncherPod) -> Outdated:
    """Compare NICs; an annotation that cannot be read proves nothing."""
    try:
        parse_annotation(pod.networks_annotation)
    except UnreadableAnnotation:
        return Outdated()
    moving, left_out = _with_its_networks(view, vmi)
    now_asked = elements_at_birth(moving, config=view.config, left_out=left_out)
    present, wanted = elements_asked_for(pod), {text(item.get("interface")): item for item in now_asked}
    given = vmi.status.given
    missing = _nics_of(wanted.keys() - present.keys(), vmi)
    # For a plugged NIC that no new pod would have either: the obstacle is reported once there is no pod.
    lost = given & unusable_networks(vmi, known=view.attachments).keys()
    lacking = [name for name in missing if name in given]
    lacking += [name for name in sorted(lost) if hashed_interface_name(name) not in present]
    changed = [item for item in wanted.keys() & present.keys() if not asks_the_same(present[item], wanted[item])]
    others = [name for name in missing if name not in given] + _nics_of(changed, vmi)
    surplus = [item for item in present if is_hashed_name(item) and item not in wanted]
    return Outdated(lacking=tuple(lacking), others=tuple(others), surplus=tuple(_nics_of(surplus, vmi) or surplus))


def _nics_of(interfaces: Iterable[str], vmi: VirtualMachineInstance) -> list[str]:
    """The NICs of these pod interfaces, in spec order."""
    asked = frozenset(interfaces)
    schemes = (hashed_interface_name, plugin_interface_name)
    return [item.name for item in vmi.networks if any(scheme(item.name) in asked for scheme in schemes)]


def _is_obstructed(view: MigrationView, pod: LauncherPod, *, now: datetime) -> bool:
    """True if no other target pod could be created now: the migration continues without the NIC."""
    without = replace(view, pods=tuple(item for item in view.pods if item.uid != pod.uid))
    return find_obstacle(without, now=now) is not None


def _renewal(facts: MigrationFacts, pod: LauncherPod, nics: tuple[str, ...], *, now: datetime) -> Renewal:
    migration = facts.migration
    before, is_free = migration.renewal, migration.is_stuck
    # Else repeated NIC changes would hold a slot as long as they continue.
    keeps_time = is_free or before.count >= MOST_RENEWALS
    replaced = PodRecord(key=pod.key, uid=pod.uid, migration_uid=migration.uid)
    named = ", ".join(f'"{name}"' for name in nics[:_MOST_NAMED])
    more = f" and {len(nics) - _MOST_NAMED} more" if len(nics) > _MOST_NAMED else ""
    return Renewal(
        record=TargetRenewal(
            count=before.count if is_free else before.count + 1,
            waiting_since=waits_since(facts, pod, now=now) if keeps_time else None,
            replaced=(*before.replaced, replaced),
        ),
        message=f"target pod {pod.key.name} was made before NICs of the VM changed ({named}{more}): it is replaced",
    )
