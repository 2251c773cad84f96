"""Forecasts NICs that leave a VM without a record. Pure except for the evidence.

The running guest keeps some of them until it is restarted; it never had the others.
"""

from collections.abc import Collection, Iterator
from dataclasses import replace

from nicplug.insight.evidence import Evidence
from nicplug.insight.known import Known
from nicplug.insight.outcome import NicForecast, Outcome
from nicplug.model.conditions import RESTART_REQUIRED
from nicplug.model.hotplug_policy import HotplugPolicy, RemovalPolicy
from nicplug.model.networks import Interface
from nicplug.model.operations import OperationPath, OperationPhase, OperationType
from nicplug.model.vm import VirtualMachine
from nicplug.model.vmi import VirtualMachineInstance, VmiPhase
from nicplug.plan.nic.live_rules import never_attached
from nicplug.plan.reasons import Reason

NEVER_ATTACHED = "NeverAttached"
"""Reason of a NIC that leaves the spec of a running guest that never had it."""


def leaving_nics(
    evidence: Evidence, *, known: Known, policy: HotplugPolicy, recorded: Collection[str], present: Collection[str]
) -> Iterator[NicForecast]:
    """Yield the NICs that were in the template or in the instance before the change, and no longer are.

    Args:
        evidence: with the VM as it would be.
        known: the NICs before the change.
        recorded: NICs with a record that says what becomes of them.
        present: NICs that would exist without the change.
    """
    vm, vmi = evidence.parsed_vm, evidence.parsed_vmi
    if vm is not None and (vmi is None or vmi.deleting):
        yield from _without_instance(vm, known if vmi is None else replace(known, instance=()), known, present=present)
        return
    template = vm.interfaces if vm is not None else ()
    instance = vmi.interfaces if vmi is not None else ()
    named, kept, running = {item.name for item in template}, _present(template), _present(instance)
    for name in known.present:
        if name in kept or vmi is None:
            continue
        if name in running:
            # A NIC that the template marks as absent has a record that says why it cannot leave.
            if vm is not None and name in known.template and name not in named:
                yield _at_restart(name, known, policy, present=present)
        elif name not in recorded:
            if vmi.phase is not VmiPhase.RUNNING:
                yield _at_start(name, known, "the guest starts without it", present=present)
            elif never_attached(name, vmi=vmi):
                yield _withdrawn(name, known, vmi, present=present)


def _without_instance(
    vm: VirtualMachine, owned: Known, known: Known, *, present: Collection[str]
) -> Iterator[NicForecast]:
    """Yield the NICs of a VM that is stopped, or whose instance is about to end: the next one starts from the template.

    Args:
        owned: the NICs without those of the instance, if that ends.
    """
    kept = _present(vm.interfaces)
    for name in known.present:
        if name not in kept:
            yield _at_start(name, owned, "the VM starts without it", present=present)


def _present(interfaces: Collection[Interface]) -> set[str]:
    return {item.name for item in interfaces if not item.is_absent}


def _at_start(name: str, known: Known, effect: str, *, present: Collection[str]) -> NicForecast:
    return _leaving(
        name,
        known,
        present=present,
        outcome=Outcome.AT_START,
        path=OperationPath.NONE,
        reason=str(Reason.GUEST_NOT_RUNNING),
        message=f"removed from the {_owner(name, known)}; {effect}",
    )


def _at_restart(name: str, known: Known, policy: HotplugPolicy, *, present: Collection[str]) -> NicForecast:
    explicit = f" (removal policy {policy.removal_policy})" if policy.removal_policy is RemovalPolicy.EXPLICIT else ""
    return _leaving(
        name,
        known,
        present=present,
        outcome=Outcome.NEEDS_RESTART,
        path=OperationPath.RESTART,
        reason=RESTART_REQUIRED,
        message=f"removed from the template; it stays in the running guest until the next restart{explicit}",
    )


def _withdrawn(name: str, known: Known, vmi: VirtualMachineInstance, *, present: Collection[str]) -> NicForecast:
    return _leaving(
        name,
        known,
        present=present,
        outcome=Outcome.WITHDRAWN,
        path=OperationPath.NONE,
        reason=NEVER_ATTACHED,
        message=f"leaves the {_owner(name, known)}; the running guest never had it and is not touched",
    )


def _owner(name: str, known: Known) -> str:
    """Return which spec it leaves."""
    if name not in known.template:
        return "instance"
    return "template and the instance" if name in known.instance else "template"


def _leaving(
    name: str,
    known: Known,
    *,
    outcome: Outcome,
    path: OperationPath,
    reason: str,
    message: str,
    present: Collection[str],
) -> NicForecast:
    network, binding = known.networks.get(name, ("", ""))
    return NicForecast(
        name=name,
        operation=str(OperationType.UNPLUG),
        network=network,
        binding=binding,
        outcome=outcome,
        path=str(path),
        phase=str(OperationPhase.PENDING),
        reason=reason,
        message=message,
        is_affected=name in present,
    )
