"""What virt-api's webhooks do to migrations, and refuse of them, VMIs and evictions (sections 5.7 and 7.1). Pure."""

from dataclasses import dataclass

from nicplug_sandbox.kubevirt.evacuation import eviction_strategy
from nicplug_sandbox.kubevirt.objects import (
    MIGRATION_FINALIZER,
    VMI_NAME,
    Json,
    annotations_of,
    condition_of,
    is_condition,
    is_final,
    labels_of,
    name_of,
    namespace_of,
    status_of,
    uid_of,
)
from nicplug_sandbox.kubevirt.settings import ClusterSettings

VIRT_CONTROLLER = "system:serviceaccount:kubevirt:kubevirt-controller"
OWN_ACCOUNTS = frozenset(
    {VIRT_CONTROLLER, *(f"system:serviceaccount:kubevirt:kubevirt-{name}" for name in ("handler", "apiserver"))}
)
RESERVED_LABELS = (
    "kubevirt.io/created-by",
    "kubevirt.io/migrationJobUID",
    "kubevirt.io/nodeName",
    "kubevirt.io/migrationTargetNodeName",
    "kubevirt.io/schedulable",
    "kubevirt.io/install-strategy",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a request is refused.

    Attributes:
        field: of a cause; "" for a refusal without causes.
        code: the HTTP status.
    """

    message: str
    field: str = ""
    code: int = 422


def admitted_migration(migration: Json) -> Json:
    """The migration as the mutating webhook stores it: with the VMI's label and the finalizer."""
    metadata = migration["metadata"]
    labels = {**labels_of(migration), VMI_NAME: (migration.get("spec") or {}).get("vmiName", "")}
    finalizers = [
        *(item for item in metadata.get("finalizers") or () if item != MIGRATION_FINALIZER),
        MIGRATION_FINALIZER,
    ]
    return {**migration, "metadata": {**metadata, "labels": labels, "finalizers": finalizers}}


def refused_creation(migration: Json, *, user: str, vmi: Json | None, migrations: list[Json]) -> Refusal | None:
    """Why a migration may not be created, the first reason that holds; None when it may.

    Args:
        migration: as sent.
        user: who sends it.
        vmi: the one it names, when it exists.
        migrations: all of its namespace.
    """
    spec = migration.get("spec") or {}
    name = spec.get("vmiName")
    if not name:
        return Refusal(message="vmiName is missing", field="spec.vmiName")
    if spec.get("priority") and user != VIRT_CONTROLLER:
        message = "Migration priority queue, only virt-controller is allowed to set priority field"
        return Refusal(message=message, field="spec.migrationPriority")
    if vmi is None:
        return Refusal(message=f'the VMI "{namespace_of(migration)}/{name}" does not exist')
    if is_final(vmi):
        return Refusal(message="Cannot migrate VMI in finalized state.")
    migratable = condition_of(vmi, "LiveMigratable")
    if migratable is not None and migratable["status"] == "False":
        reason, message = migratable.get("reason", ""), migratable.get("message", "")
        return Refusal(message=f"Cannot migrate VMI, Reason: {reason}, Message: {message}")
    active = next((item for item in migrations if labels_of(item).get(VMI_NAME) == name and not is_final(item)), None)
    if active is None:
        return None
    return Refusal(
        message=f"in-flight migration detected. Active migration job ({uid_of(active)}) "
        f"is currently already in progress for VMI {name_of(vmi)}."
    )


def refused_migration_update(new: Json, old: Json) -> Refusal | None:
    """Why a migration may not be changed so."""
    if new.get("spec") != old.get("spec"):
        return Refusal(message="update of Migration object's spec is restricted")
    before, after = labels_of(old).get(VMI_NAME), labels_of(new).get(VMI_NAME)
    if is_final(old) or before is None or before == after:
        return None
    verb = "removed from" if after is None else "modified on"
    text = f"selector label can't be {verb} an in-flight migration"
    return Refusal(message=text)


def refused_vmi_update(new: Json, old: Json, *, user: str) -> Refusal | None:
    """Why a VMI may not be changed so: its spec is changed by nobody but KubeVirt's own accounts."""
    if user in OWN_ACCOUNTS:
        return None
    if new.get("spec") != old.get("spec"):
        return Refusal(message="update of VMI object is restricted")
    if any(labels_of(new).get(key) != labels_of(old).get(key) for key in RESERVED_LABELS):
        text = "modification of the following reserved kubevirt.io/ labels on a VMI object is prohibited"
        return Refusal(message=text)
    return None


def guest_of(pod: Json) -> str:
    """The name of the VMI whose launcher a pod is; "" for other pods and for launchers that have ended."""
    if labels_of(pod).get("kubevirt.io") != "virt-launcher" or is_final(pod):
        return ""
    return str(annotations_of(pod).get("kubevirt.io/domain", ""))


@dataclass(frozen=True, slots=True, kw_only=True)
class Eviction:
    """What becomes of the eviction of a launcher pod.

    Attributes:
        refusal: None: it goes on.
        node: the node that the VMI is marked to leave, before the refusal; "" for no mark.
    """

    refusal: Refusal | None = None
    node: str = ""


def judged_eviction(pod: Json, vmi: Json, *, settings: ClusterSettings) -> Eviction:
    """The eviction of a VMI's launcher: granted, or turned into an evacuation, by the VMI's eviction strategy."""
    strategy, is_migratable = eviction_strategy(vmi, settings), is_condition(vmi, "LiveMigratable")
    if strategy == "LiveMigrate" and not is_migratable:
        return _no(f"VMI {name_of(vmi)} is configured with an eviction strategy but is not live-migratable")
    is_moved = strategy in ("LiveMigrate", "External") or (strategy == "LiveMigrateIfPossible" and is_migratable)
    if not is_moved:
        return Eviction()
    text = f'Eviction triggered evacuation of VMI "{namespace_of(vmi)}/{name_of(vmi)}"'
    if status_of(vmi).get("evacuationNodeName"):
        return _no(f"Evacuation in progress: {text}")
    node = str(pod["spec"].get("nodeName", ""))
    if status_of(vmi).get("nodeName") != node:
        return _no("Eviction request for target Pod")
    return _no(text, node=node)


def _no(message: str, *, node: str = "") -> Eviction:
    return Eviction(refusal=Refusal(message=message, code=429), node=node)
