"""What KubeVirt's webhook refuses when a migration is created. Here it is accepted, and fails with the same words.

A webhook that is down blocks the API; this cannot. Source: KubeVirt 1.9 `migration-create-admitter.go`.
"""

from nicplug.model.conditions import FALSE, LIVE_MIGRATABLE, find_condition
from nicplug.model.metadata import objects, text
from nicplug.model.vmi import VirtualMachineInstance
from nicplug.plan.migration.ending import Ending
from nicplug.plan.migration.facts import Facts, first_in_line
from nicplug.plan.reasons import Reason
from nicplug.plan.views import MigrationView


def refuse_unlike(facts: Facts) -> Ending | None:
    """What is wrong with the request itself, whatever the VMI."""
    migration = facts.migration
    spec = migration.read_spec()
    if not migration.vmi.name:
        event = "spec.vmiName is missing: make another migration that names its VMI, as a spec cannot be changed"
        return Ending(reason=Reason.VMI_NAME_MISSING, event=event)
    if spec.get("sendTo") or spec.get("receive"):
        event = "migrations between clusters or namespaces (sendTo, receive) are not carried out by nicplug"
        return Ending(reason=Reason.MIGRATION_NOT_SUPPORTED, event=event)
    return None


def refuse_missing(facts: Facts) -> Ending | None:
    """There is no VMI to move; one that was created a moment earlier may not have been heard of yet."""
    if facts.vmi is not None:
        return None
    key = facts.migration.vmi
    if facts.is_replaced:
        event = f'the VMI "{key}" is not the one that the migration was made for'
        return Ending(reason=Reason.VMI_MISSING, event=event)
    return Ending(reason=Reason.VMI_MISSING, event=f'the VMI "{key}" does not exist')


def refuse_vmi(view: MigrationView, vmi: VirtualMachineInstance) -> Ending | None:
    """The VMI cannot be moved, or is already."""
    if vmi.is_final:
        return Ending(reason=Reason.VMI_FINAL, event="Cannot migrate VMI in finalized state.")
    if why := not_migratable(vmi):
        return Ending(reason=Reason.NOT_LIVE_MIGRATABLE, event=f"Cannot migrate VMI, {why}")
    return refuse_second(view)


def not_migratable(vmi: VirtualMachineInstance) -> str:
    """What the VMI's condition says against it; "" when nothing: an absent or Unknown condition is none."""
    row = find_condition(objects(vmi.read_status().get("conditions")), LIVE_MIGRATABLE) or {}
    if row.get("status") != FALSE:
        return ""
    return f"Reason: {text(row.get('reason'))}, Message: {text(row.get('message'))}"


def refuse_second(view: MigrationView) -> Ending | None:
    """Another migration of the VMI goes first: one at a time. Asked for until the node agents have this one."""
    first = first_in_line(view)
    if first.uid == view.migration.uid:
        return None
    if first.is_handed_off:
        said = "VMI is not eligible for migration because another migration job is in progress."
    else:
        said = (
            f"in-flight migration detected. Active migration job ({first.uid}) is currently already in progress "
            f"for VMI {first.vmi.name}."
        )
    message = f"{first.key.name} is already moving {first.vmi.name}: {said}"
    # KubeVirt's words name the other one by its uid at most, which nobody can look for.
    event = f"{said} Its name is {first.key.name}."
    return Ending(reason=Reason.MIGRATION_IN_FLIGHT, event=event, message=message)
