"""The record of each NIC: its state, its path, the reason, and the next step."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum
from typing import Any

from nicplug.model.attachments import Attached
from nicplug.model.interface_status import DOMAIN, Rows, has_go_ahead, has_source
from nicplug.model.networks import ABSENT, Interface, Network, first_by_name, parse_interface, wanted_by_name
from nicplug.model.operations import (
    InterfaceOperation,
    MigrationFailures,
    OperationPath,
    OperationPhase,
    OperationType,
    needs_person,
    with_remedy,
)
from nicplug.model.pod import LauncherPod
from nicplug.plan.checks import first_result
from nicplug.plan.nic.annotation import AnnotationDecision
from nicplug.plan.nic.attempts import Attempts
from nicplug.plan.nic.change import find_link_change
from nicplug.plan.nic.findings import SPEC_CHECKS, Finding, Situation
from nicplug.plan.nic.live_rules import deleted_from_template, has_ordinal_names, never_attached
from nicplug.plan.nic.observed import MigrationInProgress, stray_interfaces
from nicplug.plan.nic.path.migration_history import select_for_next_migration
from nicplug.plan.nic.path.paths_of_vmi import Chooser
from nicplug.plan.nic.plug import find_plug, nic_is_invalid, runs_until_restart
from nicplug.plan.nic.spec_checks import in_precedence
from nicplug.plan.nic.unplug import find_stray, find_unplug
from nicplug.plan.reasons import Reason
from nicplug.plan.views import VmiView

Records = Mapping[str, InterfaceOperation]


class _Deletion(Enum):
    """Why deleting a NIC's entries from the VM's template has had no effect; the value is added to its message."""

    STAGED = ". The VM's template no longer asks for it, which waits for a restart, as vmRolloutStrategy is Stage"
    IGNORED = ". Its entries were deleted from the VM's template, which does not take it back"


_WRITE_AGAIN = "To take it back, write its entries into the template again, with state: absent"


@dataclass(frozen=True, slots=True, kw_only=True)
class NicReport:
    """The records of the NICs, and the actions required besides requests to their pod.

    Attributes:
        operations: all desired records, in spec order.
        wanting: the NICs for which a migration is to be created, or to continue, with the fingerprints of their
            changes. Of those to be retried alone, only the one whose turn it is.
        rolled_back: the NICs whose last working state is to be restored, or has been, with the requested operation.
        why_moved: for an event, why NICs are plugged by a migration, if their message says more than that.
        again_at: when a record changes without any other event.
    """

    operations: tuple[InterfaceOperation, ...] = ()
    wanting: Mapping[str, str] = field(default_factory=dict)
    rolled_back: Mapping[str, OperationType] = field(default_factory=dict)
    why_moved: Mapping[str, str] = field(default_factory=dict)
    again_at: datetime | None = None


def plan_operations(
    chooser: Chooser, *, rows: Rows, annotation: AnnotationDecision, in_progress: MigrationInProgress | None
) -> NicReport:
    """Return the desired records, and the actions that follow from them.

    Args:
        rows: `status.interfaces` by name, after this pass.
    """
    view, now = chooser.view, chooser.now
    networks = {network.name: network for network in (*_template_networks(view), *view.vmi.networks)}
    primary = _born_with_the_pod(view.vmi.networks)
    wanted: dict[str, InterfaceOperation] = {}
    findings: dict[str, Finding] = {}
    nics = (
        *_as_the_template_asks(view, rows),
        *_only_in_template(view),
        *_without_interface(view),
        *_deleted_in_guest(view, rows),
    )
    siblings = in_precedence(nics, networks.values(), rows)
    strays = _strays(view, chooser.pod, besides=nics)
    for interface in (*nics, *strays):
        situation = Situation(
            interface=interface,
            network=networks.get(interface.name),
            siblings=siblings,
            row=rows.get(interface.name),
            annotation=annotation,
            chooser=chooser,
            in_progress=in_progress,
        )
        is_primary = interface.name in primary
        finding = find_stray(situation) if interface in strays else _find(situation, is_primary=is_primary)
        if finding is not None:
            findings[interface.name] = finding
            wanted[interface.name] = _record(finding, situation=situation, now=now)
    moments = (finding.again_at for finding in findings.values())
    return NicReport(
        operations=tuple(wanted.values()),
        wanting=_wanting(findings),
        rolled_back={name: item.operation for name, item in findings.items() if item.reason is Reason.ROLLED_BACK},
        why_moved={name: finding.why_moved for name, finding in findings.items() if finding.why_moved},
        again_at=min((moment for moment in moments if moment is not None and moment > now), default=None),
    )


def _wanting(findings: Mapping[str, Finding]) -> dict[str, str]:
    wanting = {name: finding for name, finding in findings.items() if finding.wants_migration}
    selected = select_for_next_migration(
        {name: finding.failures or MigrationFailures() for name, finding in wanting.items()}
    )
    return {name: finding.change for name, finding in wanting.items() if name in selected}


def _find(situation: Situation, *, is_primary: bool) -> Finding | None:
    if flaw := first_result(SPEC_CHECKS, situation):
        return flaw
    if situation.interface.is_absent:
        return find_unplug(situation)
    if is_primary:
        return nic_is_invalid(situation) or find_link_change(situation) or runs_until_restart(situation)
    found, deletion = find_plug(situation), _deleted_in_vain(situation)
    if found is None or deletion is None:
        return found
    remedy = with_remedy(found.remedy, _WRITE_AGAIN) if deletion is _Deletion.IGNORED else found.remedy
    return replace(found, message=f"{found.message}{deletion.value}", remedy=remedy, why_moved="")


def _deleted_in_vain(situation: Situation) -> _Deletion | None:
    """Why deleting the NIC from the template has had no effect; None if it was not deleted there."""
    vm, vmi, name = situation.view.vm, situation.view.vmi, situation.interface.name
    if vm is None or situation.in_guest or name not in (vmi.template_interfaces or ()):
        return None
    if name in wanted_by_name(vm.interfaces):
        return None
    config = situation.view.config
    if config is not None and config.stages_changes:
        return _Deletion.STAGED
    # A NIC that was never attached is removed automatically, at the latest after the migration that may plug it.
    is_automatic = never_attached(name, vmi=vmi) and not has_ordinal_names(vmi)
    return None if is_automatic else _Deletion.IGNORED


def _born_with_the_pod(networks: Sequence[Network]) -> frozenset[str]:
    """The networks that only a new pod can have: the primary one, of which a pod has one, and devices of claims."""
    first = next((network.name for network in networks if network.is_primary), None)
    return frozenset(item.name for item in networks if item.name == first or not (item.is_primary or item.is_secondary))


def _without_interface(view: VmiView) -> tuple[Interface, ...]:
    """A placeholder for each network that no interface names, so that it is reported under its name."""
    named = {interface.name for interface in view.vmi.interfaces}
    unnamed = {item.name for item in view.vmi.networks if item.name not in named}
    if view.vm is not None:
        named |= {interface.name for interface in view.vm.interfaces}
        unnamed |= {item.name for item in view.vm.networks if item.name not in named}
    in_order = dict.fromkeys(item.name for item in (*view.vmi.networks, *_template_networks(view)))
    return tuple(parse_interface({"name": name}) for name in in_order if name in unnamed)


def _deleted_in_guest(view: VmiView, rows: Rows) -> tuple[Interface, ...]:
    """A placeholder for each NIC in the guest that no list contains any more: its end has not been observed."""
    template = view.vm.interfaces if view.vm is not None else ()
    leaving = {item.name for item in template if item.is_absent}  # has no effect on the guest without the VMI
    listed = {interface.name for interface in template} | {network.name for network in _template_networks(view)}
    listed -= leaving
    listed |= {item.name for item in view.vmi.interfaces} | {network.name for network in view.vmi.networks}
    held = (name for name, row in rows.items() if name not in listed and has_source(row, DOMAIN))
    return tuple(parse_interface({"name": name, "state": ABSENT}) for name in held)


def _strays(view: VmiView, pod: LauncherPod | None, *, besides: Iterable[Interface]) -> list[Interface]:
    """A placeholder for each stray interface of the pod, under the name of the interface."""
    if pod is None:
        return []
    found = stray_interfaces(view.vmi, pod, access=view.attachments.access)
    named = {item.name for item in besides} if found else set()
    return [parse_interface({"name": name, "state": ABSENT}) for name in found if name not in named]


def _as_the_template_asks(view: VmiView, rows: Rows) -> tuple[Interface, ...]:
    """The VMI's NICs, with those absent that the template unplugs: it is reported what keeps that from the VMI."""
    leaving = leaving_nics(view, rows)
    return tuple(item.with_state(ABSENT) if item.name in leaving else item for item in view.vmi.interfaces)


def leaving_nics(view: VmiView, rows: Rows) -> set[str]:
    """The NICs that the template unplugs, whether or not the VMI has the change yet.

    One that is still being plugged while its removal is kept in the template goes on, and is reported as such.
    """
    vm = view.vm
    leaving: set[str] = set()
    if vm is not None:
        leaving = {interface.name for interface in vm.interfaces if interface.is_absent}
        leaving |= deleted_from_template(vm=vm, vmi=view.vmi, policy=view.policy, rows=rows)
    if view.config is not None and view.config.stages_changes:
        leaving = {name for name in leaving if has_source(rows.get(name), DOMAIN)}
    return leaving


def _only_in_template(view: VmiView) -> tuple[Interface, ...]:
    """NICs of the template that have not reached, or will never reach, the running VMI."""
    if view.vm is None:
        return ()
    present = {interface.name for interface in view.vmi.interfaces}
    return tuple(item for item in view.vm.interfaces if item.name not in present and not item.is_absent)


def _template_networks(view: VmiView) -> tuple[Network, ...]:
    return view.vm.networks if view.vm is not None else ()


def _record(finding: Finding, *, situation: Situation, now: datetime) -> InterfaceOperation:
    attempts, old = situation.attempts, situation.record
    is_lost = finding.reason is Reason.POD_INTERFACE_LOST
    fresh = InterfaceOperation(
        name=situation.interface.name,
        operation=finding.operation,
        path=finding.path,
        phase=finding.phase,
        reason=finding.reason,
        message=finding.message,
        remedy=finding.remedy,
        next_attempt_time=finding.next_attempt,
        attempts=attempts.count if attempts is not None else int(_was_asked(finding, situation)),
        start_time=now if is_lost else _requested_at(situation, now=now),
        last_transition_time=now,
        last_error=attempts.error if attempts is not None else "",
        last_attempt_time=attempts.last_at if attempts is not None else None,
        observed_generation=attempts.generation if attempts is not None else 0,
        migration=finding.migration,
        waiting_since=finding.waiting_since,
        failures=finding.failures or MigrationFailures(),
        is_suspect=situation.interface.name in situation.chooser.phantoms,
        attached=_attached(situation),
        lost_by_pod=finding.lost_by_pod,
        rollback_cause=finding.rollback_cause,
    )
    if old is None or old.operation != finding.operation or (is_lost and old.reason != finding.reason):
        return fresh
    if finding.failures is None:
        fresh = replace(fresh, failures=old.failures)
    return _continued(fresh, old, attempts)


def _attached(situation: Situation) -> Attached | None:
    """The definition to record: the present one while the NIC is requested, then the one that it was attached by."""
    old, network, pod = situation.record, situation.network, situation.pod
    if has_go_ahead(situation.reported_row):
        return old.attached if old is not None else None
    definition = situation.chooser.definition_of(network)
    if definition is None or pod is None:
        return old.attached if old is not None else None
    return Attached(uid=definition.uid, config_hash=definition.digest, pod=pod.uid)


def _continued(fresh: InterfaceOperation, old: InterfaceOperation, attempts: Attempts | None) -> InterfaceOperation:
    """Continue the record of an operation: it keeps its start, and members without newer information."""
    kept: dict[str, Any] = {"start_time": old.start_time}
    if attempts is None:
        kept |= {
            "attempts": max(old.attempts, fresh.attempts),
            "last_error": old.last_error,
            "last_attempt_time": old.last_attempt_time,
            "observed_generation": old.observed_generation,
        }
    if fresh.phase == OperationPhase.READY:
        kept |= {"last_error": "", "failures": MigrationFailures()}
    elif fresh.path == OperationPath.MIGRATION and not fresh.migration:
        kept["migration"] = old.migration
    if old.phase == fresh.phase:
        kept["last_transition_time"] = old.last_transition_time
    return replace(fresh, **kept)


def _requested_at(situation: Situation, *, now: datetime) -> datetime:
    """When the VMI's spec was first observed with it; a NIC of the template alone has just been observed."""
    view = situation.view
    in_spec = situation.interface.name in first_by_name(view.vmi.interfaces)
    return min(view.spec_seen_at, now) if in_spec else now


def _was_asked(finding: Finding, situation: Situation) -> bool:
    """True if the change has been requested from the pod, or, for an unplug or a link, from the guest."""
    if finding.operation in (OperationType.UNPLUG, OperationType.SET_LINK):
        return finding.phase is not OperationPhase.BLOCKED
    return situation.interface.name in situation.annotation.attachments


def unsettled(operations: Iterable[InterfaceOperation]) -> tuple[InterfaceOperation, ...]:
    """The records that keep a VMI from being `InterfacesReady`; those that need a user come first, else in order."""
    waiting = (operation for operation in operations if operation.phase != OperationPhase.READY)
    return tuple(sorted(waiting, key=lambda operation: not needs_person(operation.phase)))


def asks_again(*, before: Records, after: Iterable[InterfaceOperation]) -> bool:
    """True if this pass repeats a request to a pod.

    The next attempt is counted from the record: until that is written, every pass would repeat the request.
    """
    return any(
        (old.last_attempt_time is not None and _attempt(old) != _attempt(item))
        or (item.attempts > old.attempts and (old.is_suspect or old.attempts > 0))
        for item in after
        if (old := before.get(item.name)) is not None
    )


def _attempt(operation: InterfaceOperation) -> tuple[datetime | None, int, int]:
    return operation.last_attempt_time, operation.attempts, operation.observed_generation
