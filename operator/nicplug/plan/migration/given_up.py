"""NICs that have failed for good, or perhaps have: a target pod is made without what it would not start with.

Else one broken network would keep a VM from moving ever again, and with it every NIC beside it. A migration that a user
makes tries again what failed: whoever has mended a node has no other way to say so. What was taken back, or has no PCI
slot in the guest, is not brought by any.
"""

from dataclasses import replace
from datetime import UTC, datetime

from nicplug.model.metadata import objects, text
from nicplug.model.migration import Migration
from nicplug.model.networks import Network, split_attachment
from nicplug.model.operations import OperationType, parse_operations
from nicplug.model.pod import LauncherPod
from nicplug.model.vmi import VirtualMachineInstance, reported_rows
from nicplug.plan.candidates import refuse_devices
from nicplug.plan.migration.placement import target_selector
from nicplug.plan.migration.target_networks import nics_given, nics_in_guest
from nicplug.plan.nic.links import networks_asked_for
from nicplug.plan.nic.path.backoff import is_automatic
from nicplug.plan.nic.path.causes import BROUGHT_BY_NONE, causes_of, is_left_out
from nicplug.plan.views import MigrationView

# No record is read for its times here.
_ANY_TIME = datetime.max.replace(tzinfo=UTC)


def nics_left_out(vmi: VirtualMachineInstance, migration: Migration) -> frozenset[str]:
    """The NICs that the target pod is made without; the guest has none of them, and is about to get none."""
    return frozenset(_given_up(vmi, migration, OperationType.PLUG)) - nics_given(vmi)


def nics_not_brought(view: MigrationView, vmi: VirtualMachineInstance) -> frozenset[str]:
    """Those, and for a migration of nicplug's the NICs whose device no node has: they keep nobody else from moving.

    A user's migration fails of them, and says so.
    """
    left_out, in_guest = nics_left_out(vmi, view.migration), nics_in_guest(vmi)
    if not is_automatic(view.migration):
        return left_out
    brought = in_guest | left_out | causes_of(view.migration).keys()
    refused = refuse_devices(
        view.nodes,
        vmi=vmi,
        lacking=[item.name for item in vmi.interfaces if item.name not in brought and not item.is_absent],
        attachments=view.attachments,
        added_node_selector=target_selector(view, vmi),
    )
    return left_out | refused.keys()


def with_networks_that_work(
    vmi: VirtualMachineInstance, migration: Migration, *, source: LauncherPod | None
) -> VirtualMachineInstance:
    """The VMI with the networks that its guest has, where it was to get others and could not."""
    names = _given_up(vmi, migration, OperationType.CHANGE_NETWORK)
    if not names or source is None:
        return vmi
    asked, rows = networks_asked_for(source, namespace=vmi.key.namespace), reported_rows(vmi)

    def that_works(network: Network) -> Network:
        reference = asked.get(text(rows.get(network.name, {}).get("podInterfaceName")), "")
        if network.name not in names or not reference or not network.attachment:
            return network
        where, name = split_attachment(reference, namespace=vmi.key.namespace)
        return network.with_attachment(name if where == vmi.key.namespace else reference)

    return replace(vmi, networks=tuple(map(that_works, vmi.networks)))


def _given_up(vmi: VirtualMachineInstance, migration: Migration, operation: OperationType) -> set[str]:
    records = parse_operations(objects(vmi.read_status().get("interfaceOperations")), default_time=_ANY_TIME)
    names = {name for name, record in records.items() if record.operation == operation and is_left_out(record)}
    if not is_automatic(migration):
        names = {name for name in names if records[name].reason in BROUGHT_BY_NONE}
    return names - causes_of(migration).keys()
