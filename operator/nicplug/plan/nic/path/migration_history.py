"""What migrations were made for and why they failed, so that none is made again for the same change."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from nicplug.model.attachments import AttachmentDefinition, KnownAttachments
from nicplug.model.conditions import PROGRESSING, find_condition
from nicplug.model.frozen_json import freeze
from nicplug.model.metadata import mapping, objects, sequence, text
from nicplug.model.migration import Migration, MigrationPhase
from nicplug.model.names import MIGRATION_INTERFACES_ANNOTATION
from nicplug.model.networks import Interface, Network, first_by_name
from nicplug.model.operations import InterfaceOperation, MigrationFailures, OperationPhase, OperationType
from nicplug.model.per_pass import once_per_pass
from nicplug.model.vmi import VirtualMachineInstance
from nicplug.plan.nic.path.rules import MAX_MIGRATIONS
from nicplug.plan.reasons import Reason

# What a migration was made for, NIC by NIC, so that one that failed is not made again for the very same thing.
#
# Everything is in objects: the migration says in an annotation for which NICs it was made and what they were then, as
# a digest; the NIC's record keeps what has been counted, as migrations may be deleted. So every process counts alike,
# a NIC beside it begins nothing anew, and a corrected network does.

_DIGITS = 10
# What is hashed for each of 255 NICs: more than this would cost a tenth of a second and more.
_MOST_HASHED_PER_NIC = 64 * 1024
_LONGEST_ERROR = 256
_MOST_REMEMBERED = 16
# Own, in `status` of a migration: the NICs that it has failed of, and the causes of those that it was not for.
AT_FAULT_MEMBER = "interfacesAtFault"
CAUSES_AT_FAULT_MEMBER = "causesAtFault"
# What no migration brings, whoever makes it.
BROUGHT_BY_NONE = frozenset({Reason.ROLLED_BACK, Reason.NO_PCI_SLOT})
# The writer's clock and that of the API server may differ.
_SKEW = timedelta(minutes=2)
# Ends of a migration that say nothing against another one.
_NO_FAILURES = frozenset({Reason.MIGRATION_CANCELED, Reason.MIGRATION_IN_FLIGHT, Reason.NO_SLOT_IN_TIME})
# The target pod had a node and did not get its networks: the next one would meet the same. What is no network's fault
# is `TargetPodLate`.
_NOT_MENDED_BY_TIME = frozenset({Reason.TARGET_POD_NOT_READY, Reason.MIGRATION_NOT_SUPPORTED})


def change_fingerprint(
    *,
    vmi: VirtualMachineInstance,
    operation: OperationType,
    interface: Interface,
    network: Network | None,
    definition: AttachmentDefinition | None,
) -> str:
    """Fingerprint of all that would have to change before another attempt makes sense: `<ten digits>/<ten digits>`.

    The first digits are of the NIC's entries and of the VM's spec without the other NICs, the second of the network
    attachment definition; they are left out when that is not known.
    """
    of_network = network.raw if network is not None else ""
    entry = _digits(str(operation), interface.raw, of_network, _beside_nics(vmi))
    if definition is None:
        return f"{entry}/"
    return f"{entry}/{_digits(definition.uid, definition.digest, definition.device)}"


@once_per_pass
def _beside_nics(vmi: VirtualMachineInstance) -> str:
    """The VM's spec without its NICs: the text itself, or its digest where that is long.

    These are in annotations and records of guests that run, so neither of the two may ever change.
    """
    text_ = str(vmi.spec)
    # Cut out, not parsed: the same text could stand in front of the list only in what nobody interprets.
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


def is_same_cause(one: str, other: str) -> bool:
    """It is the same change; a definition that is not known is no other one."""
    (entry, _, definition), (other_entry, _, other_definition) = one.partition("/"), other.partition("/")
    return entry == other_entry and (definition == other_definition or not (definition and other_definition))


def format_causes(causes: Mapping[str, str]) -> str:
    """The value of the annotation: NIC name -> cause."""
    return json.dumps(dict(sorted(causes.items())), separators=(",", ":"))


@once_per_pass
def causes_of(migration: Migration) -> Mapping[str, str]:
    """The NICs that a migration was made for, each with its cause; empty if it does not say."""
    try:
        found = json.loads(migration.annotation(MIGRATION_INTERFACES_ANNOTATION) or "{}")
    except (ValueError, RecursionError):
        return {}
    return {name: cause for name, cause in mapping(found).items() if isinstance(cause, str)}


@once_per_pass
def at_fault(migration: Migration) -> tuple[str, ...]:
    """The NICs that a migration has failed of, where that is known."""
    known = causes_of(migration).keys() | _causes_at_fault(migration).keys()
    names = sequence(migration.read_status().get(AT_FAULT_MEMBER))
    return tuple(name for name in names if isinstance(name, str) and name in known)


@once_per_pass
def others_at_fault(migration: Migration) -> Mapping[str, str]:
    """The NICs at fault that the migration was not made for, each with its cause."""
    made_for, causes = causes_of(migration), _causes_at_fault(migration)
    return {name: causes[name] for name in at_fault(migration) if name not in made_for}


def _causes_at_fault(migration: Migration) -> dict[str, str]:
    found = mapping(migration.read_status().get(CAUSES_AT_FAULT_MEMBER))
    return {name: cause for name, cause in found.items() if isinstance(cause, str)}


def failed_migrations(
    migrations: Sequence[Migration],
    *,
    vmi_uid: str,
    name: str,
    cause: str,
    since: datetime | None = None,
    remembered: MigrationFailures | None = None,
) -> MigrationFailures:
    """Count the failed migrations that were made for this very change of the NIC.

    Args:
        migrations: of the VMI, oldest first; those of users do not count, nor those withdrawn.
        since: when the change was asked for: whoever takes a NIC away and asks for it again later wants another try.
        remembered: of the NIC's record: they count though they have been deleted since.
    """
    known = remembered if remembered is not None and is_same_cause(remembered.cause, cause) else MigrationFailures()
    failed = [
        item
        for item in _failed_of(migrations, vmi_uid).get(name, ())
        if item.uid not in known.migrations
        and (since is None or item.created is None or item.created >= since - _SKEW)
        and is_same_cause(causes_of(item).get(name) or others_at_fault(item).get(name, ""), cause)
    ]
    if not failed:
        return replace(known, cause=cause) if known.count and not cause.endswith("/") else known
    return MigrationFailures(
        cause=cause,
        migrations=(*known.migrations, *(item.uid for item in failed))[-_MOST_REMEMBERED:],
        reason=_reason(failed[-1]),
        message=error_of(failed[-1]),
        retry_alone=_is_tried_apart(failed, before=known.retry_alone),
    )


@once_per_pass
def _failed_of(migrations: Sequence[Migration], vmi_uid: str) -> Mapping[str, Sequence[Migration]]:
    """The failures that count against another migration, oldest first, by NIC."""
    found: dict[str, list[Migration]] = {}
    for item in migrations:
        if (
            item.phase is MigrationPhase.FAILED
            and not item.deleting
            and item.is_automatic(vmi_uid=vmi_uid)
            and _says_something(item)
        ):
            known = causes_of(item).keys() | others_at_fault(item).keys()
            for name in known.intersection(at_fault(item) or known):
                found.setdefault(name, []).append(item)
    return found


def is_given_up(failures: MigrationFailures) -> bool:
    """Enough was tried."""
    return failures.count >= MAX_MIGRATIONS or (failures.count > 0 and not is_worth_repeating(failures))


def is_worth_repeating(failures: MigrationFailures) -> bool:
    """True if another migration may succeed: the last failure may pass, or was perhaps another NIC's fault."""
    return failures.retry_alone or failures.reason not in _NOT_MENDED_BY_TIME


def _is_tried_apart(failed: Iterable[Migration], *, before: bool) -> bool:
    """Until it has had a target pod for itself: then what kept that from starting is evidence against it."""
    retry_alone = before
    for item in failed:
        if _reason(item) == Reason.TARGET_POD_NOT_READY:
            retry_alone = not others_at_fault(item) and len(at_fault(item) or causes_of(item)) > 1
    return retry_alone


def is_left_out(record: InterfaceOperation) -> bool:
    """Target pods are made without a NIC of that record, unless the migration is for it.

    It has failed for good, or is perhaps to blame for what has failed: it has a target pod for itself, and no other
    one has it.
    """
    is_over = record.phase == OperationPhase.FAILED and is_given_up(record.failures)
    return is_over or record.failures.retry_alone or record.reason in BROUGHT_BY_NONE


def select_for_next_migration(wanting: Mapping[str, MigrationFailures]) -> frozenset[str]:
    """The NICs that the next migration is made for, of those that want one.

    All together; but those that have to be tried apart come after the others, one by one: first which has failed least.
    """
    together = frozenset(name for name, failures in wanting.items() if not failures.retry_alone)
    if together or not wanting:
        return together
    return frozenset({min(wanting, key=lambda name: wanting[name].count)})


def _says_something(migration: Migration) -> bool:
    """Against another one like it. That no node fits is known before one is made; where a target pod was put is not."""
    reason = _reason(migration)
    if reason == Reason.NO_CANDIDATE_NODE:
        return migration.entered_at(MigrationPhase.SCHEDULING) is not None
    return reason not in _NO_FAILURES


def _progressing(migration: Migration) -> Mapping[str, object]:
    return find_condition(objects(migration.read_status().get("conditions")), PROGRESSING) or {}


def _reason(migration: Migration) -> str:
    return text(_progressing(migration).get("reason"))


def error_of(migration: Migration) -> str:
    """Why a migration failed, for a person; it is bounded."""
    said = text(_progressing(migration).get("message"))
    return said if len(said) <= _LONGEST_ERROR else f"{said[:_LONGEST_ERROR]}..."


def _digits(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode(errors="replace")).hexdigest()[:_DIGITS]


# Another NIC whose network keeps target pods from starting: no migration of the VM gets on, whichever NIC it is for.
#
# It is no failure of the NICs that the migration was for: none of them is given up or rolled back for it, and trying
# each by itself would only meet the same. A migration is made again at once when what failed changes. Else with
# back-off, five in all: the network of a NIC that the guest has did attach once, and may do so on another node, or
# later.

FIRST_PAUSE = timedelta(minutes=15)


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockingNetwork:
    """Why no migration is made for anybody else.

    Attributes:
        interface: the NIC whose network it is.
        error: why the last migration failed.
        until: when one is made all the same; None when enough was tried.
    """

    interface: str
    error: str
    until: datetime | None


def find_blocking_networks(
    migrations: Iterable[Migration], *, vmi: VirtualMachineInstance, known: KnownAttachments
) -> Mapping[str, BlockingNetwork]:
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
    return {name: _blocking_network(name, items) for name, items in failed.items()}


def _blocking_network(name: str, newest_first: list[Migration]) -> BlockingNetwork:
    newest, count = newest_first[0], len(newest_first)
    failed_at = newest.entered_at(MigrationPhase.FAILED) or newest.created
    until = None if count >= MAX_MIGRATIONS or failed_at is None else failed_at + FIRST_PAUSE * 2 ** (count - 1)
    return BlockingNetwork(interface=name, error=error_of(newest), until=until)


def is_failed_of_others(migration: Migration, *, vmi: VirtualMachineInstance) -> bool:
    """It is nicplug's own, and failed of a NIC that it was not for."""
    is_over = migration.phase is MigrationPhase.FAILED and not migration.deleting
    return is_over and migration.is_automatic(vmi_uid=vmi.uid) and bool(others_at_fault(migration))


def unchanged_since(migration: Migration, *, vmi: VirtualMachineInstance, known: KnownAttachments) -> tuple[str, ...]:
    """The NICs at fault that the migration was not made for and that have not changed since."""
    then = others_at_fault(migration)
    return tuple(
        name for name, cause in then.items() if is_same_cause(cause, cause_at_fault(vmi, name=name, known=known))
    )


def cause_at_fault(vmi: VirtualMachineInstance, *, name: str, known: KnownAttachments) -> str:
    """Fingerprint of a NIC of the VMI's spec, as for a plug; "" if the spec has none of that name."""
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
