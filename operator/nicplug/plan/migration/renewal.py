"""Whether the VM's NICs have changed since the target pod was made, so that another one takes its place.

Until the hand-off the running pod is asked for NICs in place, so that none of them waits for a target pod that is
stuck. A guest cannot move to a pod that lacks one of its NICs: the copy would fail at its end. KubeVirt hands over to
such a pod (docs/differences.md).
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from nicplug.model.interface_names import hashed_interface_name, is_hashed_name, plugin_interface_name
from nicplug.model.migration import MigrationPhase
from nicplug.model.networks_annotation import UnreadableAnnotation, asks_the_same, parse_annotation
from nicplug.model.pod import LauncherPod
from nicplug.model.pod_record import PodRecord
from nicplug.model.target_renewal import TargetRenewal
from nicplug.model.vmi import VirtualMachineInstance
from nicplug.plan.migration.eligibility import find_obstacle
from nicplug.plan.migration.facts import Facts
from nicplug.plan.migration.target_networks import nics_given, unusable_networks
from nicplug.plan.migration.target_pod import elements_to_ask_for
from nicplug.plan.migration.timeouts import waits_since
from nicplug.plan.nic.links import elements_asked_for
from nicplug.plan.views import MigrationView
from nicplug.plan.vmi.target_renewals import MOST_RENEWALS, is_renewable

_WITH_TARGET = (MigrationPhase.SCHEDULING, MigrationPhase.SCHEDULED)
_TOLD_NICS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Outdated:
    """How a target pod differs from one that is made now.

    Attributes:
        lacking: NICs that the guest has, or may have at any moment, and that the pod lacks: it cannot be moved to.
        others: NICs that the VM asks for and that the pod lacks, or has otherwise.
        surplus: NICs that the pod has and that nobody asks for any more. They leave it once the VM has moved.
    """

    lacking: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    surplus: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewal:
    """The target pod is to be replaced.

    Attributes:
        record: what the migration's status says from now on.
        message: why, for a person.
    """

    record: TargetRenewal
    message: str


def find_renewal(view: MigrationView, facts: Facts, *, now: datetime) -> Renewal | None:
    """Compare the target pod with one that is made now; None while it may stay."""
    pod, vmi = facts.target, facts.vmi
    if pod is None or vmi is None or not facts.can_move or facts.migration.deleting:
        return None
    if facts.migration.phase not in _WITH_TARGET or facts.is_handed_off:
        return None
    outdated = find_outdated(view, vmi, pod)
    if outdated.lacking:
        return _renewal(facts, pod, outdated.lacking, now=now)
    # What is too much keeps a pod from starting at most, when its network is gone.
    changed = (*outdated.others, *(outdated.surplus if facts.migration.is_stuck else ()))
    if not changed or not is_renewable(facts.migration) or _is_obstructed(view, pod, now=now):
        return None
    return _renewal(facts, pod, changed, now=now)


def find_outdated(view: MigrationView, vmi: VirtualMachineInstance, pod: LauncherPod) -> Outdated:
    """Nothing is concluded from an annotation that cannot be read."""
    try:
        parse_annotation(pod.networks_annotation)
    except UnreadableAnnotation:
        return Outdated()
    present, wanted = elements_asked_for(pod), elements_to_ask_for(view, vmi)
    given = nics_given(vmi)
    missing = _nics_of(wanted.keys() - present.keys(), vmi)
    # Of a given NIC that no new pod would have either: what is in the way is told once there is no pod.
    lost = given & unusable_networks(vmi, known=view.attachments).keys()
    lacking = [name for name in missing if name in given]
    lacking += [name for name in sorted(lost) if hashed_interface_name(name) not in present]
    changed = [item for item in wanted.keys() & present.keys() if not asks_the_same(present[item], wanted[item])]
    others = [name for name in missing if name not in given] + _nics_of(changed, vmi)
    surplus = [item for item in present if is_hashed_name(item) and item not in wanted]
    return Outdated(lacking=tuple(lacking), others=tuple(others), surplus=tuple(_nics_of(surplus, vmi) or surplus))


def _nics_of(interfaces: Iterable[str], vmi: VirtualMachineInstance) -> list[str]:
    """The NICs of pod interfaces, in spec order."""
    asked = frozenset(interfaces)
    schemes = (hashed_interface_name, plugin_interface_name)
    return [item.name for item in vmi.networks if any(scheme(item.name) in asked for scheme in schemes)]


def _is_obstructed(view: MigrationView, pod: LauncherPod, *, now: datetime) -> bool:
    """No other target pod could be made now: what there is goes on without the NIC."""
    without = replace(view, pods=tuple(item for item in view.pods if item.uid != pod.uid))
    return find_obstacle(without, now=now) is not None


def _renewal(facts: Facts, pod: LauncherPod, nics: tuple[str, ...], *, now: datetime) -> Renewal:
    migration = facts.migration
    before, is_free = migration.renewal, migration.is_stuck
    # Else whoever goes on changing NICs would keep a slot for as long.
    keeps_time = is_free or before.count >= MOST_RENEWALS
    replaced = PodRecord(key=pod.key, uid=pod.uid, migration_uid=migration.uid)
    told = ", ".join(f'"{name}"' for name in nics[:_TOLD_NICS])
    more = f" and {len(nics) - _TOLD_NICS} more" if len(nics) > _TOLD_NICS else ""
    return Renewal(
        record=TargetRenewal(
            count=before.count if is_free else before.count + 1,
            waiting_since=waits_since(facts, pod, now=now) if keeps_time else None,
            replaced=(*before.replaced, replaced),
        ),
        message=f"target pod {pod.key.name} was made before NICs of the VM changed ({told}{more}): it is replaced",
    )
