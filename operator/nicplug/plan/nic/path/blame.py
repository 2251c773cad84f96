"""Blames failed migrations on NICs, and reads the blame back for later decisions.

A migration whose target pod did not become ready in time records the NICs at fault in its status, as `blame_nics` names
them (`plan.migration.plan_migration` calls it). `blamed_nics` reads them back, or else all NICs that the migration was
created for, and `migration_history` counts them. `find_blocking_networks` finds networks that keep every target pod
from starting.

Each NIC is blamed with the fingerprint of its change, so that a corrected NIC or network is tried again at once.

Beside KubeVirt nobody writes the status of a migration for nicplug: its report keeps these members, and the migration
is read as if its status had them (`plan.companion.target_pods`).
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from nicplug.model.attachments import AttachmentDefinition, KnownAttachments, attachment_key, referenced_keys
from nicplug.model.frozen_json import freeze
from nicplug.model.metadata import mapping, sequence
from nicplug.model.migration import Migration, MigrationPhase
from nicplug.model.names import MIGRATION_INTERFACES_ANNOTATION
from nicplug.model.networks import Interface, Network, first_by_name
from nicplug.model.networks_annotation import hashed_interface_name, plugin_interface_name
from nicplug.model.operations import OperationType
from nicplug.model.per_pass import once_per_pass
from nicplug.model.pod_failures import PodFailure
from nicplug.model.vmi import VirtualMachineInstance

# Own members of the status of a migration: the NICs at fault, and the fingerprints of those that it was not for.
_AT_FAULT_MEMBER = "interfacesAtFault"
_CAUSES_AT_FAULT_MEMBER = "causesAtFault"
_LONGEST_ERROR = 256
MAX_MIGRATIONS = 5
"""Limit of failed migrations for one change, or because of one network."""


def blame_nics(
    migration: Migration,
    *,
    vmi: VirtualMachineInstance,
    failure: PodFailure | None,
    missing: Collection[str],
    known: KnownAttachments,
) -> dict[str, Any]:
    """Return status members with the NICs at fault, for a migration whose target pod did not get its networks.

    They are empty if the failure names no network and no interface. All NICs count, not only those that the migration
    was for: each target pod has the others, too. If Multus reports none at all, only the NICs that the migration was
    for are at fault, not those that the guest has.

    Args:
        failure: of the target pod, as the kubelet reports it.
        missing: interfaces of a running target pod that Multus does not report.
    """
    made_for = changes_of(migration)
    unreported = [item.name for item in vmi.networks if item.is_secondary and _has_interface(item, missing)]
    named = _nics_named_by(failure, vmi=vmi, known=known)
    names = named or [name for name in unreported if name in made_for] or unreported
    # A pod that has every NIC fails of this one whichever NIC it is for.
    blocking = [name for name in names if name not in made_for or migration.brings_every_nic]
    others = {name: _change_now(name, vmi=vmi, known=known) for name in blocking}
    changes = {name: change for name, change in others.items() if change}
    members = {_AT_FAULT_MEMBER: names, _CAUSES_AT_FAULT_MEMBER: changes}
    return {member: value for member, value in members.items() if value}


def _has_interface(network: Network, interfaces: Collection[str]) -> bool:
    """Report whether one of the pod interfaces is the NIC's, or its binding plugin's."""
    return hashed_interface_name(network.name) in interfaces or plugin_interface_name(network.name) in interfaces


def _nics_named_by(failure: PodFailure | None, *, vmi: VirtualMachineInstance, known: KnownAttachments) -> list[str]:
    """Return the NICs on the network that the kubelet's message names, in spec order; several may share one."""
    if failure is None or not failure.network:
        return []
    namespace, name = vmi.key.namespace, failure.network
    networks = (item for item in vmi.networks if item.attachment)
    return [item.name for item in networks if _is_named(item, name, namespace=namespace, known=known)]


def may_be_networks_fault(failure: PodFailure | None, *, vmi: VirtualMachineInstance, known: KnownAttachments) -> bool:
    """Report whether the message names a network of the VMI, or may: Multus may quote a definition by another name.

    Otherwise the cause is the node's container runtime, the cluster's own network, or a chained plugin that is put
    into every pod: no edit of the VM or of its networks could fix that.
    """
    if failure is None:
        return False
    if failure.is_of_networks or _nics_named_by(failure, vmi=vmi, known=known):
        return True
    references = referenced_keys(vmi.networks, namespace=vmi.key.namespace)
    return bool(failure.network) and "/" not in failure.network and not references <= known.definitions.keys()


def _is_named(network: Network, name: str, *, namespace: str, known: KnownAttachments) -> bool:
    """Report whether Multus quotes the network by that name."""
    key = attachment_key(network, namespace=namespace)
    if "/" in name:
        return name == f"{key.namespace}/{key.name}"
    definition = known.definitions.get(key)
    return name == (definition.network_name if definition is not None else key.name)


@once_per_pass
def blamed_nics(migration: Migration) -> Mapping[str, str]:
    """Return the NICs that a failed migration is blamed on, each with its fingerprint at that time.

    If its status names none, these are all NICs that it was created for.
    """
    status, made_for = migration.status.members, changes_of(migration)
    known = {**mapping(status.get(_CAUSES_AT_FAULT_MEMBER)), **made_for}
    changes = {name: known.get(name) for name in sequence(status.get(_AT_FAULT_MEMBER)) if isinstance(name, str)}
    return {name: change for name, change in changes.items() if isinstance(change, str)} or made_for


@once_per_pass
def others_at_fault(migration: Migration) -> Mapping[str, str]:
    """Return the NICs that it is blamed on though it was not created for them, each with its fingerprint.

    If its target pod had every NIC, these are all that it is blamed on by name: they block it for any other one.
    """
    if migration.brings_every_nic:
        causes = mapping(migration.status.members.get(_CAUSES_AT_FAULT_MEMBER))
        return {name: change for name, change in causes.items() if isinstance(change, str)}
    made_for = changes_of(migration)
    return {name: change for name, change in blamed_nics(migration).items() if name not in made_for}


def error_of(migration: Migration) -> str:
    """Return the message of a failed migration, cut to a bounded length."""
    said = migration.progress
    return said if len(said) <= _LONGEST_ERROR else f"{said[:_LONGEST_ERROR]}..."


def blames_other_nics(migration: Migration, *, vmi_uid: str) -> bool:
    """Report whether nicplug created the migration, and it failed because of a NIC that it was not for."""
    is_over = migration.phase is MigrationPhase.FAILED and not migration.deleting
    return is_over and migration.is_workload_update(vmi_uid=vmi_uid) and bool(others_at_fault(migration))


def others_still_at_fault(migration: Migration, *, vmi: VirtualMachineInstance, known: KnownAttachments) -> list[str]:
    """Return the NICs at fault that the migration was not created for and that have not changed since."""
    then = others_at_fault(migration).items()
    return [name for name, change in then if is_same_change(change, _change_now(name, vmi=vmi, known=known))]


def _change_now(name: str, *, vmi: VirtualMachineInstance, known: KnownAttachments) -> str:
    """Return the fingerprint of a NIC of the VMI's spec, as for a plug; "" if the spec has none of that name."""
    interface, network = first_by_name(vmi.interfaces).get(name), first_by_name(vmi.networks).get(name)
    if interface is None or network is None or not network.attachment:
        return ""
    return change_fingerprint(
        vmi=vmi,
        operation=OperationType.PLUG,
        interface=interface,
        network=network,
        definition=known.definition_of(network, namespace=vmi.key.namespace),
    )


# A NIC whose network keeps target pods from starting blocks every migration of the VM, whichever NIC it is for.
#
# The NICs that the migration was for are not at fault: none of them is given up or rolled back, and retrying each alone
# would fail the same way. When the blocking NIC or its network changes, the next migration is created at once. Else
# with back-off, five in all: the network of a NIC that the guest has did attach once, and may do so on another node,
# or later.

FIRST_PAUSE = timedelta(minutes=15)


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockingNetwork:
    """A network because of which no migration is created for other NICs.

    Attributes:
        interface: the NIC whose network it is.
        error: why the last migration failed.
        until: when the next migration is created nevertheless; None after the last attempt.
        is_in_every_pod: no target pod is created without it.
    """

    interface: str
    error: str
    until: datetime | None
    is_in_every_pod: bool = False


def find_blocking_networks(
    migrations: Iterable[Migration], *, vmi: VirtualMachineInstance, known: KnownAttachments
) -> list[BlockingNetwork]:
    """Find the blocking networks that have not changed since.

    Only the migrations record them: deleting a failed one allows another attempt.

    Args:
        migrations: of the VMI, oldest first. One that succeeded, of any creator, refutes those before it.
    """
    failed: dict[str, list[Migration]] = {}
    for item in reversed(tuple(migrations)):
        if item.phase is MigrationPhase.SUCCEEDED:
            break
        if blames_other_nics(item, vmi_uid=vmi.uid):
            for name in others_still_at_fault(item, vmi=vmi, known=known):
                failed.setdefault(name, []).append(item)
    in_guest = vmi.status.in_guest
    return [_blocking_network(name, items, has_attached=name in in_guest) for name, items in failed.items()]


def _blocking_network(name: str, newest_first: list[Migration], *, has_attached: bool) -> BlockingNetwork:
    newest, count = newest_first[0], len(newest_first)
    failed_at = newest.entered_at(MigrationPhase.FAILED) or newest.created
    is_hopeless = count >= MAX_MIGRATIONS or (newest.brings_every_nic and not has_attached)
    until = None if is_hopeless or failed_at is None else failed_at + FIRST_PAUSE * 2 ** (count - 1)
    return BlockingNetwork(interface=name, error=error_of(newest), until=until, is_in_every_pod=newest.brings_every_nic)


# The changes that a migration was created for: an annotation names the NICs, each with the fingerprint of its change.

_DIGITS = 10
# Limit of the text that is hashed for each of 255 NICs: more would take more than a tenth of a second.
_MOST_HASHED_PER_NIC = 64 * 1024


def change_fingerprint(
    *,
    vmi: VirtualMachineInstance,
    operation: OperationType,
    interface: Interface,
    network: Network | None,
    definition: AttachmentDefinition | None,
) -> str:
    """Return a fingerprint of everything of which a part has to change before another attempt is useful.

    Its form is `<ten digits>/<ten digits>`. The first are of the NIC's entries and of the VM's spec without the other
    NICs, the second of the network attachment definition; they are left out if that is unknown.
    """
    of_network = network.raw if network is not None else ""
    entry = _digits(str(operation), interface.raw, of_network, _beside_nics(vmi))
    if definition is None:
        return f"{entry}/"
    return f"{entry}/{_digits(definition.uid, definition.digest, definition.device)}"


@once_per_pass
def _beside_nics(vmi: VirtualMachineInstance) -> str:
    """Return the VM's spec without its NICs: the text itself, or its digest if it is long.

    Annotations and records of running guests depend on both, so neither may ever change.
    """
    text_ = str(vmi.spec)
    # Cut out, not parsed: only in uninterpreted parts could an equal text precede the list.
    for member, items in (("interfaces", vmi.interfaces), ("networks", vmi.networks)):
        written = ",".join(item.raw for item in items)
        text_ = text_.replace(f'"{member}":[{written}]', f'"{member}":null', 1)
    if len(text_) > _MOST_HASHED_PER_NIC:
        return hashlib.sha256(text_.encode(errors="replace")).hexdigest()
    spec = vmi.read_spec()
    devices = mapping(mapping(spec.get("domain")).get("devices"))
    rest = {**spec, "networks": None, "domain": None}
    domain = {**mapping(spec.get("domain")), "devices": {**devices, "interfaces": None}}
    return f"{freeze(rest)}\n{freeze(domain)}"


def is_same_change(one: str, other: str) -> bool:
    """Compare two fingerprints; an unknown definition equals any."""
    (entry, _, definition), (other_entry, _, other_definition) = one.partition("/"), other.partition("/")
    return entry == other_entry and (definition == other_definition or not (definition and other_definition))


def format_changes(changes: Mapping[str, str]) -> str:
    """Render the value of the annotation: NIC name -> fingerprint."""
    return json.dumps(dict(sorted(changes.items())), separators=(",", ":"))


@once_per_pass
def changes_of(migration: Migration) -> Mapping[str, str]:
    """Return the NICs that a migration was created for, each with its fingerprint; empty without the annotation."""
    try:
        found = json.loads(migration.annotation(MIGRATION_INTERFACES_ANNOTATION) or "{}")
    except (ValueError, RecursionError):
        return {}
    return {name: change for name, change in mapping(found).items() if isinstance(change, str)}


def _digits(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode(errors="replace")).hexdigest()[:_DIGITS]
