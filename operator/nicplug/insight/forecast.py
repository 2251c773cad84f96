"""What would happen to the NICs of a VM: the operator's own planners, asked on evidence before anything is changed.

Pure but for the caches in `Evidence`, which belong to the question.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from nicplug.cache.caches import CachedKind
from nicplug.insight.at_restart import other_fields, waiting_changes, waiting_fields
from nicplug.insight.evidence import Evidence, networks_in
from nicplug.insight.known import Known, known_attachments, known_of, networks_of
from nicplug.insight.patched import patched
from nicplug.insight.slots import once_unplugged, slots_of, with_doubt
from nicplug.model.attachments import referenced_keys
from nicplug.model.conditions import RESTART_REQUIRED
from nicplug.model.hotplug_policy import HotplugPolicy, RemovalPolicy
from nicplug.model.keys import AttachmentKey, VmiKey, VmKey
from nicplug.model.metadata import generation, mapping
from nicplug.model.networks import first_by_name
from nicplug.model.operations import InterfaceOperation, OperationPath, OperationPhase, OperationType
from nicplug.model.pci_budget import PciBudget
from nicplug.model.vm import VirtualMachine
from nicplug.model.vmi import VirtualMachineInstance, VmiPhase
from nicplug.plan.actions import Kind
from nicplug.plan.nic.attachments import refuse_attachment
from nicplug.plan.nic.path.evidence import PathEvidence
from nicplug.plan.nic.pci_slots import PciSlots
from nicplug.plan.nic.validation import refuse
from nicplug.plan.reasons import Reason
from nicplug.plan.vm.decide import plan_vm
from nicplug.plan.vmi.foresight import AT_ONCE, Foreseen, foresee
from nicplug.reconcile.gather import Gatherer
from nicplug.reconcile.memory import Memory

_CANNOT = frozenset({OperationPhase.BLOCKED, OperationPhase.FAILED})


class Outcome(StrEnum):
    """How a NIC ends."""

    READY = "Ready"
    """Nothing is left to do."""
    IN_PLACE = "InPlace"
    """The running guest gets it, or lets it go, where it is."""
    BY_MIGRATION = "ByMigration"
    """The VM is migrated for it."""
    AT_START = "AtStart"
    """The guest does not run; it will start with the NIC."""
    NEEDS_RESTART = "NeedsRestart"
    """The running guest does not get it; the next start brings it."""
    STUCK = "Stuck"
    """It needs action first."""

    @property
    def arrives(self) -> bool:
        """It happens automatically."""
        return self in (Outcome.READY, Outcome.IN_PLACE, Outcome.BY_MIGRATION, Outcome.AT_START)


@dataclass(frozen=True, slots=True, kw_only=True)
class Otherwise:
    """What happens if nobody has answered until then."""

    after: timedelta
    outcome: Outcome
    reason: str
    message: str
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class NicForecast:
    """One NIC.

    Attributes:
        path, phase, reason, message, remedy: as its record will say first.
        evidence: what the path is chosen by; None where no path is chosen.
        otherwise: where the dynamic networks controller may fail to answer; None elsewhere.
        is_affected: the change concerns it, or nothing was changed; others are already requested.
    """

    name: str
    operation: str
    network: str
    binding: str
    outcome: Outcome
    path: str
    phase: str
    reason: str
    message: str
    remedy: str = ""
    evidence: PathEvidence | None = None
    otherwise: Otherwise | None = None
    is_affected: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class VmForecast:
    """What would happen to a VM.

    Attributes:
        node: that runs it; "" while none does.
        nics: those that something would happen to.
        slots_before, slots_after: PCI slots; None while nobody can count them.
        migration: name of the migration that would be made; "" when none is.
        restart_fields: what else of the VM waits for a restart, in the words of the API.
        refusals: why what was asked for, or a part of it, is not done at all.
        again_at: when the operator looks again though nothing has changed; None when it does not.
    """

    kind: str
    key: VmKey | VmiKey
    node: str
    policy: HotplugPolicy
    nics: tuple[NicForecast, ...] = ()
    slots_before: PciBudget | None = None
    slots_after: PciBudget | None = None
    migration: str = ""
    restart_fields: tuple[str, ...] = ()
    refusals: tuple[str, ...] = ()
    again_at: datetime | None = None

    @property
    def arrives(self) -> bool:
        """All that the change concerns happens automatically."""
        return not self.refusals and all(nic.outcome.arrives for nic in self.nics if nic.is_affected)

    @property
    def by_name(self) -> Mapping[str, NicForecast]:
        """What comes of each NIC; of one that changes and has a change that waits for a restart, the former."""
        return {nic.name: nic for nic in reversed(self.nics)}


def forecast(evidence: Evidence, *, changed: Mapping[str, Any] | None, now: datetime) -> VmForecast:
    """What the operator would do next, for the VM as it is or as it would be.

    Args:
        changed: the VM, or the VMI that belongs to none, as it would be; None: as it is.
        now: current time, UTC.

    Raises:
        ValueError: a network of the changed VM was not asked for when the evidence was read.
    """
    if changed is not None and (unread := _unread(evidence, changed)):
        raise ValueError(f"the evidence was read without {', '.join(map(str, unread))}")
    before, known = _foresee(evidence, now=now), known_of(evidence)
    anyhow = _without_change(evidence, now=now) if known.requested and changed is not None else before
    waited = _waiting_fields(evidence)
    if changed is not None:
        kind = CachedKind.VM if changed.get("kind") == CachedKind.VM.value else CachedKind.VMI
        evidence.put(kind, _next_generation(changed))
    _let_vm_act(evidence, now=now)
    after = _foresee(evidence, now=now)
    later = _foresee_deadline(evidence, after, now=now)
    told = _render(evidence, before=before, anyhow=anyhow, after=after, later=later, known=known, now=now)
    told = _with_restart(told, evidence, waited=waited, known=known)
    return (
        told if changed is not None else replace(told, nics=tuple(replace(nic, is_affected=True) for nic in told.nics))
    )


def _unread(evidence: Evidence, changed: Mapping[str, Any]) -> list[AttachmentKey]:
    """Networks that the VM may use, and that nobody has looked for."""
    namespace, access = evidence.target.namespace, evidence.caches.attachment_access()
    keys = referenced_keys(networks_in(changed), namespace=namespace)
    if evidence.asked is None:
        return []
    return [key for key in keys if access.allows(key, namespace=namespace) and key not in evidence.asked]


def _next_generation(raw: Mapping[str, Any]) -> dict[str, Any]:
    """As the API server stores a changed spec; a dry run has counted already, and a second time does no harm."""
    metadata = mapping(raw.get("metadata"))
    return {**raw, "metadata": {**metadata, "generation": generation(metadata) + 1}}


def _gatherer(evidence: Evidence) -> Gatherer:
    return Gatherer(evidence.caches, Memory(clock=evidence.clock), AT_ONCE)


def _let_vm_act(evidence: Evidence, *, now: datetime) -> None:
    """The VM controller works requests off into the template, and takes to the VMI what may go there live."""
    vm = evidence.parsed_vm
    view = _gatherer(evidence).vm_view(vm.key) if vm is not None and evidence.vmi is not None else None
    if view is None:
        return
    actions = plan_vm(view, now=now).actions
    for kind, raw in ((Kind.VM, evidence.vm), (Kind.VMI, evidence.vmi)):
        changed = dict(raw or {})
        for action in actions:
            if getattr(action, "kind", None) is kind and getattr(action, "subresource", "-") is None:
                changed = patched(changed, action.json_patch())  # type: ignore[union-attr]
        if changed != raw:
            evidence.put(CachedKind.VM if kind is Kind.VM else CachedKind.VMI, _next_generation(changed))


def _without_change(evidence: Evidence, *, now: datetime) -> Foreseen:
    """What the requests that are recorded already come to by themselves."""
    vm, vmi = evidence.vm, evidence.vmi
    _let_vm_act(evidence, now=now)
    found = _foresee(evidence, now=now)
    for kind, raw in ((CachedKind.VM, vm), (CachedKind.VMI, vmi)):
        if raw is not None:
            evidence.put(kind, raw)
    return found


def _foresee(evidence: Evidence, *, now: datetime) -> Foreseen:
    view = _gatherer(evidence).vmi_view(VmiKey(evidence.target.namespace, evidence.target.name))
    return foresee(view, now=now) if view is not None and not view.vmi.deleting else Foreseen()


def _foresee_deadline(evidence: Evidence, after: Foreseen, *, now: datetime) -> tuple[datetime, Foreseen] | None:
    """What follows when the dynamic networks controller has not answered in its time."""
    waiting = [item for item in after.operations if item.path == OperationPath.DYNAMIC and not item.is_settled]
    deadlines = [after.evidence[item.name].deadline for item in waiting if item.name in after.evidence]
    if evidence.vmi is None or not deadlines or (deadline := max(deadlines)) <= now:
        return None
    kept = evidence.vmi
    status = {**mapping(kept.get("status")), "interfaceOperations": [item.to_row() for item in after.operations]}
    evidence.put(CachedKind.VMI, {**kept, "status": status})
    later = _foresee(evidence, now=deadline + timedelta(milliseconds=1))
    evidence.put(CachedKind.VMI, {**kept, "metadata": mapping(mapping(evidence.vmi).get("metadata"))})
    return deadline, later


def _render(
    evidence: Evidence,
    *,
    before: Foreseen,
    anyhow: Foreseen,
    after: Foreseen,
    later: tuple[datetime, Foreseen] | None,
    known: Known,
    now: datetime,
) -> VmForecast:
    vm, vmi = evidence.parsed_vm, evidence.parsed_vmi
    key = vm.key if vm is not None else VmiKey(evidence.target.namespace, evidence.target.name)
    view = _gatherer(evidence).vmi_view(vmi.key) if vmi is not None else None
    vm_view = _gatherer(evidence).vm_view(vm.key) if vm is not None else None
    policy = view.policy if view is not None else vm_view.policy if vm_view is not None else HotplugPolicy()
    is_running = vmi is not None and vmi.phase is VmiPhase.RUNNING
    slots = slots_of(view, now=now) if view is not None and is_running else PciSlots()
    nics = (
        tuple(_running_nics(evidence, before, after, later, anyhow=anyhow, slots=slots, now=now))
        if is_running
        else tuple(_at_start(evidence, before=known.named | known.requested))
    )
    leaving = [nic.name for nic in nics if nic.operation == OperationType.UNPLUG and nic.outcome.arrives]
    removed = _removed(evidence, known=known, policy=policy)
    return VmForecast(
        kind="VirtualMachine" if vm is not None else "VirtualMachineInstance",
        key=key,
        node=vmi.node_name if vmi is not None else "",
        policy=policy,
        nics=(*nics, *removed),
        slots_before=before.budget,
        slots_after=once_unplugged(after.budget, vmi, names=leaving) if vmi is not None else None,
        migration=after.migration,
        again_at=after.again_at,
    )


def _running_nics(
    evidence: Evidence,
    before: Foreseen,
    after: Foreseen,
    later: tuple[datetime, Foreseen] | None,
    *,
    anyhow: Foreseen,
    slots: PciSlots,
    now: datetime,
) -> Iterable[NicForecast]:
    """Those that something would happen to: new records, changed ones, and those that are already requested."""
    known = {item.name: item for item in before.operations}
    requested = {item.name: (item.operation, item.reason) for item in anyhow.operations}
    networks = networks_of(evidence)
    for item in after.operations:
        old = known.get(item.name)
        if item.phase == OperationPhase.READY and old is not None and old.phase == OperationPhase.READY:
            continue
        network, binding = networks.get(item.name, ("", ""))
        yield NicForecast(
            name=item.name,
            operation=str(item.operation),
            network=network,
            binding=binding,
            outcome=_outcome(item),
            path=str(item.path),
            phase=str(item.phase),
            reason=str(item.reason),
            message=with_doubt(item, slots),
            remedy=item.remedy,
            evidence=after.evidence.get(item.name),
            otherwise=_otherwise(item, later, now=now),
            is_affected=requested.get(item.name) != (item.operation, item.reason),
        )


def _waiting_fields(evidence: Evidence) -> tuple[str, ...]:
    vm = evidence.parsed_vm
    return waiting_fields(_gatherer(evidence).vm_view(vm.key)) if vm is not None else ()


def _with_restart(told: VmForecast, evidence: Evidence, *, waited: Collection[str], known: Known) -> VmForecast:
    """With what waits for a restart of the VM, and has no record that says so."""
    vm, vmi, fields = evidence.parsed_vm, evidence.parsed_vmi, _waiting_fields(evidence)
    if not fields or vm is None or vmi is None:
        return told
    interfaces = (*vmi.interfaces, *vm.interfaces)
    networks = {**known.networks, **networks_of(evidence)}
    named = {nic.name for nic in told.nics if nic.outcome is Outcome.NEEDS_RESTART}
    more = (
        NicForecast(
            name=item.name,
            operation=item.operation,
            network=networks.get(item.name, ("", ""))[0],
            binding=networks.get(item.name, ("", ""))[1],
            outcome=Outcome.NEEDS_RESTART,
            path=str(OperationPath.RESTART),
            phase=str(OperationPhase.PENDING),
            reason=RESTART_REQUIRED,
            message=item.message,
            is_affected=item.is_new,
        )
        for item in waiting_changes(fields, before=waited, interfaces=interfaces)
        if item.name not in named
    )
    others = other_fields(fields, nics={item.name for item in interfaces})
    return replace(told, nics=(*told.nics, *more), restart_fields=others)


def _outcome(item: InterfaceOperation) -> Outcome:
    if item.phase == OperationPhase.READY:
        return Outcome.READY
    if item.path == OperationPath.RESTART:
        return Outcome.NEEDS_RESTART
    if item.phase in _CANNOT or item.path == OperationPath.NONE:
        return Outcome.STUCK
    return Outcome.IN_PLACE if item.path == OperationPath.DYNAMIC else Outcome.BY_MIGRATION


def _otherwise(item: InterfaceOperation, later: tuple[datetime, Foreseen] | None, *, now: datetime) -> Otherwise | None:
    if later is None or item.path != OperationPath.DYNAMIC or item.is_settled:
        return None
    deadline, foreseen = later
    then = next((other for other in foreseen.operations if other.name == item.name), None)
    if then is None or (then.path, then.reason) == (item.path, item.reason):
        return None
    return Otherwise(
        after=deadline - now,
        outcome=_outcome(then),
        reason=str(then.reason),
        message=then.message,
        remedy=then.remedy,
    )


def _at_start(evidence: Evidence, *, before: frozenset[str]) -> Iterable[NicForecast]:
    """The NICs that the next guest is born with, or that keep it from starting: of the template, or of the VMI."""
    owner: VirtualMachine | VirtualMachineInstance | None = evidence.parsed_vm or evidence.parsed_vmi
    if owner is None:
        return
    networks, namespace = first_by_name(owner.networks), owner.key.namespace
    known = known_attachments(evidence, owner.networks)
    for interface in owner.interfaces:
        network = networks.get(interface.name)
        if network is None or not network.is_secondary or interface.is_absent:
            continue
        flaw = refuse(interface, network) or refuse_attachment(network, namespace=namespace, known=known)
        yield NicForecast(
            name=interface.name,
            operation="Plug",
            network="/".join(network.attachment_reference(namespace=namespace)),
            binding=str(interface.binding),
            outcome=Outcome.STUCK if flaw is not None else Outcome.AT_START,
            path=str(OperationPath.NONE),
            phase=str(OperationPhase.BLOCKED if flaw is not None else OperationPhase.PENDING),
            reason=str(flaw.reason if flaw is not None else Reason.GUEST_NOT_RUNNING),
            message=flaw.message if flaw is not None else "the guest is not running; it starts with this NIC",
            remedy=flaw.remedy if flaw is not None else "",
            is_affected=interface.name not in before,
        )


def _removed(evidence: Evidence, *, known: Known, policy: HotplugPolicy) -> Iterable[NicForecast]:
    """The NICs that leave the template and get no record, as the running guest keeps them until it is restarted."""
    vm, vmi = evidence.parsed_vm, evidence.parsed_vmi
    if vm is None:
        return
    kept, running = {item.name for item in vm.interfaces}, first_by_name(vmi.interfaces) if vmi is not None else {}
    explicit = f" (removal policy {policy.removal_policy})" if policy.removal_policy is RemovalPolicy.EXPLICIT else ""
    for name in known.template:
        mine = running.get(name)
        if name in kept or (vmi is not None and (mine is None or mine.is_absent)):
            continue
        network, binding = known.networks.get(name, ("", ""))
        stays = f"it stays in the running guest until the next restart{explicit}"
        yield NicForecast(
            name=name,
            operation=str(OperationType.UNPLUG),
            network=network,
            binding=binding,
            outcome=Outcome.NEEDS_RESTART if vmi is not None else Outcome.AT_START,
            path=str(OperationPath.RESTART if vmi is not None else OperationPath.NONE),
            phase=str(OperationPhase.PENDING),
            reason=RESTART_REQUIRED if vmi is not None else str(Reason.GUEST_NOT_RUNNING),
            message=f"removed from the template; {stays if vmi is not None else 'the VM starts without it'}",
        )
