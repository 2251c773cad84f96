"""What planners see: raw objects become records, and all else is a member of the view under its own name."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from tests.build.objects import NAME, NAMESPACE, NOW, TARGET_NODE, TARGET_POD_UID, Json, kubevirt
from tests.build.records import (
    EVERY_NAMESPACE,
    a_config,
    a_migration,
    a_pod,
    a_revision,
    a_vm,
    a_vmi,
    known_attachments,
    start_failure,
)

from nicplug.cache.launcher_pods import gather_records
from nicplug.model.hotplug_policy import HotplugPolicy
from nicplug.model.interface_report import interfaces_hash, parse_report
from nicplug.model.keys import PodKey, VmiKey
from nicplug.model.nad_policy import AttachmentAccess
from nicplug.model.node import parse_node
from nicplug.model.pod import LauncherPod, PodRecord
from nicplug.model.slot_ledger import MigrationSlot
from nicplug.model.vmi import VirtualMachineInstance
from nicplug.plan.companion.view import CompanionView, SlotShare
from nicplug.plan.companion.virt_controller import effective_config, effective_policy
from nicplug.plan.views import MigrationView, PlanSettings, Refusal, VmiView, VmView
from nicplug.plan.vmi.launcher_pod import target_pod_key

HOTPLUG_ON = kubevirt()
FREE = SlotShare()
BESIDE_KUBEVIRT = PlanSettings().beside_kubevirt()
GRANTED = MigrationSlot(is_granted=True, inbound_node=TARGET_NODE)


def vmi_view(
    raw: Mapping[str, Any],
    *pods: Json,
    vm: Json | None = None,
    config: Json | None = HOTPLUG_ON,
    nads: Sequence[Json] | None = None,
    access: AttachmentAccess = EVERY_NAMESPACE,
    migrations: Sequence[Json] = (),
    foreign: Sequence[Json] = (),
    **members: Any,
) -> VmiView:
    """What the planner of a VMI sees. All that is no raw object is a member of the view under its own name.

    Args:
        pods: those that nicplug has made.
        config: the KubeVirt CR; None for no such object.
        nads: every network attachment definition there is; None when nothing is known of them.
        foreign: pods that nicplug has not made.
    """
    record, jobs = a_vmi(dict(raw)), tuple(map(a_migration, migrations))
    defaults = {
        "vm": a_vm(vm) if vm is not None else None,
        "records": gather_records(record, jobs, ()),
        "settings": PlanSettings(),
        "spec_seen_at": NOW,
        # It is known that there is no pod, unless a case says otherwise.
        "podless_since": NOW if not pods else None,
        "attachments": known_attachments(nads, access=access),
        **_cluster(config),
    }
    found = {"vmi": record, "pods": _records(pods), "foreign_pods": _records(foreign), "migrations": jobs}
    return VmiView(**{**found, **defaults, **_hashable(members)})


def companion_view(
    raw: Mapping[str, Any] | None,
    *pods: Json,
    vm: Json | None = None,
    report: Json | None = None,
    slot: SlotShare = FREE,
    refusal: Refusal | None = None,
    pending_since: datetime | None = None,
    report_only: str = "",
    ignores_methods: bool = False,
    may_nudge: bool = False,
    **members: Any,
) -> CompanionView:
    """What the planner of a companion sees.

    Args:
        raw: the VMI as KubeVirt has it; None for none. Its records are those of the report.
        report_only: why nicplug may only report; "" if it may migrate.
        members: as of `vmi_view`.
    """
    known = parse_report(copy.deepcopy(report)) if report is not None else None
    owner = a_vm(vm) if vm is not None else None
    guest, digest = None, ""
    if raw is not None:
        digest = interfaces_hash(raw["spec"])
        facts: Json = {"settings": BESIDE_KUBEVIRT, "refusal": refusal, **members}
        view = _with_pods(vmi_view(_with_records(raw, report, digest=digest), *pods, vm=vm, **facts))
        config = effective_config(view.config, ignores_methods=ignores_methods)
        guest = replace(view, config=config, policy=effective_policy(view.policy, report_only=report_only))
    return CompanionView(
        key=VmiKey(NAMESPACE, NAME),
        guest=guest,
        vm=owner,
        report=known,
        interfaces_hash=digest,
        slot=slot,
        may_nudge=may_nudge,
        refusal=refusal,
        report_pending_since=pending_since,
    )


def _with_pods(view: VmiView) -> VmiView:
    """The view in which each launcher pod counts, as virt-controller has made them."""
    made = tuple(PodRecord(key=item.key, uid=item.uid, migration_uid=item.migration_uid) for item in view.pods)
    return replace(view, records=made, vmi=replace(view.vmi, launcher_pods=made))


def _with_records(raw: Mapping[str, Any], report: Json | None, *, digest: str) -> Json:
    """The VMI with the records of its report, and with a generation that counts its NICs alone."""
    uid, known = raw["metadata"]["uid"], (report or {}).get("status", {})
    is_its_own, rows = known.get("vmiUid") == uid, known.get("interfaceOperations")
    generation = parse_report(report).generation_of(vmi_uid=uid, digest=digest) if report is not None else 1
    status = raw.get("status", {}) | ({"interfaceOperations": rows} if rows and is_its_own else {})
    if is_its_own and (failures := known.get("targetPodFailures")):
        status |= {"targetPodFailures": failures}
    return {**raw, "metadata": {**raw["metadata"], "generation": generation}, "status": status}


def _records(pods: Sequence[Json]) -> tuple[LauncherPod, ...]:
    return tuple(map(a_pod, pods))


def _cluster(config: Json | None) -> Json:
    """The cluster's configuration, and the policy that follows from it."""
    found = a_config(config) if config is not None else None
    return {"config": found, "policy": found.hotplug if found is not None else HotplugPolicy()}


def _hashable(members: Mapping[str, Any]) -> Json:
    """A case may write a list where a view has a tuple."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in members.items()}


def migration_view(
    raw: Json,
    vmi: Json | None,
    *pods: Json,
    others: Sequence[Json] = (),
    nodes: Sequence[Json] | None = None,
    nads: Sequence[Json] | None = None,
    access: AttachmentAccess = EVERY_NAMESPACE,
    config: Json | None = HOTPLUG_ON,
    foreign: Sequence[Json] = (),
    gone: bool = True,
    cannot_start: str = "",
    **members: Any,
) -> MigrationView:
    """What the planner of a migration sees; pods are those whose owner is the VMI's uid.

    Args:
        gone: those of its pods that are not among `pods` are known not to exist, not only out of sight.
        cannot_start: what the kubelet says of the target pod.
        members: of the view, under their own names.
    """
    record = a_vmi(vmi) if vmi is not None else None
    owned = [pod for pod in _records(pods) if record is not None and pod.owner and pod.owner.uid == record.uid]
    migrations = sorted(map(a_migration, [raw, *others]), key=lambda item: (item.created or NOW, item.uid))
    found = {
        "migration": a_migration(raw),
        "vmi": record,
        "pods": tuple(owned),
        "foreign_pods": _records(foreign),
        "migrations": tuple(migrations),
        "nodes": tuple(map(parse_node, nodes)) if nodes is not None else None,
        "attachments": known_attachments(nads, access=access),
        "config": a_config(config) if config is not None else None,
    }
    defaults = {
        "records": gather_records(record, migrations, ()) if record is not None else (),
        "settings": PlanSettings(),
        "slot": GRANTED,
        "gone_pods": frozenset(_pods_of(raw, record)) if gone else frozenset(),
        "start_failures": (start_failure(cannot_start, pod_uid=TARGET_POD_UID),) if cannot_start else (),
    }
    return MigrationView(**{**found, **defaults, **_hashable(members)})


def _pods_of(raw: Json, record: VirtualMachineInstance | None) -> Iterator[PodKey]:
    """Target and source of a migration, whether or not they exist."""
    if record is not None:
        yield target_pod_key(record, migration_uid=raw["metadata"]["uid"])
    state = raw.get("status", {}).get("migrationState") or {}
    yield PodKey(NAMESPACE, state.get("sourcePod", ""))


def vm_view(
    raw: Json,
    *,
    vmi: Json | None = None,
    started_from: Json | None = None,
    revisions: Sequence[Json] = (),
    config: Json | None = HOTPLUG_ON,
    **members: Any,
) -> VmView:
    """What the planner of a VM sees, and members of the view under their own names.

    Args:
        started_from: the revision of the VMI; it need not be in `revisions`.
    """
    known = [*revisions, *([started_from] if started_from is not None and started_from not in revisions else [])]
    found = {
        "vm": a_vm(raw),
        "vmi": a_vmi(vmi) if vmi is not None else None,
        "revision": a_revision(started_from) if started_from is not None else None,
        "revisions": tuple(map(a_revision, known)),
        "settings": PlanSettings(),
        **_cluster(config),
    }
    return VmView(**{**found, **_hashable(members)})
