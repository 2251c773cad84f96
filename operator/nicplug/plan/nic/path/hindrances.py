"""Another NIC whose network keeps target pods from starting: no migration of the VM gets on, whichever NIC it is for.

It is no failure of the NICs that the migration was for: none of them is given up or taken back for it, and trying each
by itself would only meet the same. A migration is made again at once when what failed changes. Else with back-off,
five in all: the network of a NIC that the guest has did attach once, and may do so on another node, or later.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from nicplug.model.attachments import KnownAttachments, attachment_key
from nicplug.model.migration import Migration, MigrationPhase
from nicplug.model.networks import first_by_name
from nicplug.model.operations import OperationType
from nicplug.model.vmi import VirtualMachineInstance
from nicplug.plan.nic.path.causes import change_cause, error_of, is_same_cause, others_at_fault
from nicplug.plan.nic.path.rules import MAX_MIGRATIONS

FIRST_PAUSE = timedelta(minutes=15)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hindrance:
    """Why no migration is made for anybody else.

    Attributes:
        interface: the NIC whose network it is.
        error: why the last migration failed.
        until: when one is made all the same; None when enough was tried.
    """

    interface: str
    error: str
    until: datetime | None


def find_hindrances(
    migrations: Iterable[Migration], *, vmi: VirtualMachineInstance, known: KnownAttachments
) -> Mapping[str, Hindrance]:
    """By the NIC whose network it is; those only that have not changed since.

    Nothing is remembered of them but the migrations: whoever deletes one that failed has another one made.

    Args:
        migrations: of the VMI, oldest first. One that succeeded, whoever made it, refutes those before it.
    """
    failed: dict[str, list[Migration]] = {}
    for item in reversed(tuple(migrations)):
        if item.phase is MigrationPhase.SUCCEEDED:
            break
        if is_failed_of_others(item, vmi=vmi):
            for name in unchanged_since(item, vmi=vmi, known=known):
                failed.setdefault(name, []).append(item)
    return {name: _hindrance(name, items) for name, items in failed.items()}


def _hindrance(name: str, newest_first: list[Migration]) -> Hindrance:
    newest, count = newest_first[0], len(newest_first)
    failed_at = newest.entered_at(MigrationPhase.FAILED) or newest.created
    until = None if count >= MAX_MIGRATIONS or failed_at is None else failed_at + FIRST_PAUSE * 2 ** (count - 1)
    return Hindrance(interface=name, error=error_of(newest), until=until)


def is_failed_of_others(migration: Migration, *, vmi: VirtualMachineInstance) -> bool:
    """It is nicplug's own, and failed of a NIC that it was not for."""
    is_over = migration.phase is MigrationPhase.FAILED and not migration.deleting
    return is_over and migration.is_automatic(vmi_uid=vmi.uid) and bool(others_at_fault(migration))


def unchanged_since(migration: Migration, *, vmi: VirtualMachineInstance, known: KnownAttachments) -> tuple[str, ...]:
    """Of the NICs that a migration failed of, and that it was not for, those that are still what they were then."""
    then = others_at_fault(migration)
    return tuple(
        name for name, cause in then.items() if is_same_cause(cause, cause_at_fault(vmi, name=name, known=known))
    )


def cause_at_fault(vmi: VirtualMachineInstance, *, name: str, known: KnownAttachments) -> str:
    """What a NIC of the VMI's spec is, as for a plug: it counts against it if it is to be plugged. "" without one."""
    interface, network = first_by_name(vmi.interfaces).get(name), first_by_name(vmi.networks).get(name)
    if interface is None or network is None or not network.attachment:
        return ""
    key = attachment_key(network, namespace=vmi.key.namespace)
    return change_cause(
        vmi=vmi,
        operation=OperationType.PLUG,
        interface=interface,
        network=network,
        definition=known.definitions.get(key),
    )
