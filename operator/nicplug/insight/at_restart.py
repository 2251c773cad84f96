"""Finds the parts of a change that wait for a restart of the VM, by the operator's own comparison. Pure."""

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from nicplug.model.networks import Interface
from nicplug.model.operations import OperationType
from nicplug.plan.views import VmView
from nicplug.plan.vm.restart_required import (
    POD_NETWORK_ADDED,
    RestartChange,
    RestartField,
    fields_that_need_a_restart,
)

CHANGE = "Change"
"""Operation of a NIC without a record of it: a changed binding, model, MAC address, ... in the template."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingChange:
    """A change of a NIC in the template that the running guest does not follow.

    Attributes:
        operation: `CHANGE`, or one of `OperationType`.
        is_new: True if it did not wait before.
        is_side_effect: True if it was not requested, but follows from a change of other NICs.
        remedy: what a user can do about it; "" if there is nothing to do.
    """

    name: str
    operation: str
    message: str
    is_new: bool
    is_side_effect: bool = False
    remedy: str = ""


def waiting_fields(view: VmView | None) -> tuple[RestartField, ...]:
    """Return the fields that need a restart; none for a VM without a running VMI."""
    if view is None:
        return ()
    return fields_that_need_a_restart(vm=view.vm, vmi=view.vmi, revision=view.revision, config=view.config)


def other_fields(fields: Iterable[RestartField], *, nics: Collection[str]) -> tuple[str, ...]:
    """Return the fields that belong to no NIC, as the API names them; an added pod network has a record of its NIC."""
    return tuple(str(field) for field in fields if field != POD_NETWORK_ADDED and field.nic not in nics)


def waiting_changes(
    fields: Collection[RestartField], *, before: Collection[RestartField], interfaces: Iterable[Interface]
) -> Iterator[WaitingChange]:
    """Yield the waiting changes by NIC.

    Args:
        before: the fields that waited before the change.
        interfaces: those of VM and VMI.
    """
    for name in dict.fromkeys(item.name for item in interfaces):
        if own := [field for field in fields if field.nic == name]:
            is_new = any(field not in before for field in own)
            if all(field.change is RestartChange.GIVEN_NO_MORE for field in own):
                yield _given_no_more(name, is_new=is_new)
                continue
            operation, message = _described(own)
            yield WaitingChange(name=name, operation=operation, message=message, is_new=is_new)


def _given_no_more(name: str, *, is_new: bool) -> WaitingChange:
    return WaitingChange(
        name=name,
        operation=str(OperationType.UNPLUG),
        message="the next restart removes it from the guest: only a VM whose template has no NICs is given the pod "
        "network when it starts",
        is_new=is_new,
        is_side_effect=True,
        remedy="To keep it, add it and its network (pod: {}) to the template",
    )


def _described(fields: Collection[RestartField]) -> tuple[str, str]:
    """Return operation and message."""
    until = "until the next restart"
    if any(field.change is RestartChange.DELETED for field in fields):
        return str(OperationType.UNPLUG), f"removed from the template; it stays in the running guest {until}"
    return CHANGE, f"changed in the template ({', '.join(map(str, fields))}); the running guest stays as it is {until}"
