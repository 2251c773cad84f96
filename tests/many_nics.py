"""The largest objects that an API server stores: 255 NICs of every kind, and a megabyte that nicplug never reads.

For the tests that count the work of a pass, and for the bench, which times it.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from tests.build import (
    CONTROLLER,
    MIGRATION_UID,
    NAMESPACE,
    NOW,
    POD_UID,
    VM_UID,
    VMI_UID,
    Json,
    Nic,
    kubevirt,
    later,
    migration,
    migration_state,
    migration_view,
    nad,
    nic,
    node,
    operation,
    owner,
    pod,
    primary,
    primary_row,
    revision,
    row,
    target_pod,
    vm,
    vm_view,
    vmi,
    vmi_view,
)

from nicplug.model.dynamic_controller import ControllerState, DynamicController
from nicplug.model.networks_annotation import hashed_interface_name
from nicplug.model.node import parse_node
from nicplug.model.pod_failures import FAILED_ADDING, FAILED_REMOVING, PodFailure
from nicplug.plan.views import MigrationView, VmiView, VmView

NICS = 255
"""With the one on the pod network the most that KubeVirt's webhooks let pass; the API server knows no such limit."""
MEGABYTE = 1_000_000

ABSENT_CONTROLLER = DynamicController(state=ControllerState.NOT_DEPLOYED)
_READY_ROW = {"type": "LiveMigratable", "status": "True"}


def preserved(size: int, *, mark: str = "ci") -> list[Json]:
    """Volumes of a kind that nobody knows, in as many brackets as fit: the dearest JSON there is to parse."""
    element = {"a": 1, "b": 2}
    return [{"name": mark, "unknown": [element] * (size // 14)}]


def _names(count: int) -> list[str]:
    return [f"n{index}" for index in range(count)]


def _big(raw: Json, size: int, *, mark: str = "ci") -> Json:
    spec = raw["spec"]["template"]["spec"] if raw["kind"] == "VirtualMachine" else raw["spec"]
    if size:
        spec["volumes"] = preserved(size, mark=mark)
    return raw


def _nads(count: int, *, device: str = "") -> list[Json]:
    found = [nad(f"{name}-net") for name in _names(count)]
    for index, item in enumerate(found if device else ()):
        item["metadata"]["annotations"] = {"k8s.v1.cni.cncf.io/resourceName": f"{device}{index % 8}"}
    return found


def _nodes(count: int = 20) -> tuple[Any, ...]:
    return tuple(parse_node(node(f"node{index:02}")) for index in range(1, count + 1))


def _asked(names: Sequence[str]) -> list[Json]:
    return [{"name": f"{name}-net", "namespace": NAMESPACE, "interface": hashed_interface_name(name)} for name in names]


def _attached(names: Sequence[str]) -> str:
    entries: list[Json] = [{"name": "cluster", "interface": "eth0", "default": True, "dns": {}}]
    entries += [
        {"name": f"{NAMESPACE}/{name}-net", "interface": hashed_interface_name(name), "mac": "02:00:00:00:00:01"}
        for name in names
    ]
    return json.dumps(entries)


def _in_guest(names: Sequence[str]) -> list[Json]:
    return [
        row(name, "domain", "multus-status", pod_interface=hashed_interface_name(name), mac="02:00:00:00:00:01")
        for name in names
    ]


def _vmi(nics: Sequence[Nic], *, size: int, **members: Any) -> Json:
    members = {"rows": [primary_row()], "generation": 2, "conditions": [_READY_ROW], **members}
    raw = vmi(primary(), *nics, **members)
    raw["spec"]["architecture"] = "s390x"  # there nobody counts PCI slots, of which no guest has so many
    return _big(raw, size)


def new(count: int, size: int) -> VmiView:
    """All NICs have just been asked for."""
    raw = _vmi([nic(name) for name in _names(count)], size=size)
    return vmi_view(raw, pod(), nads=_nads(count), controller=CONTROLLER, nodes=_nodes())


def waiting(count: int, size: int) -> VmiView:
    """All NICs wait in place, each with its record."""
    names = _names(count)
    operations = [_tried(name) for name in names]
    raw = _vmi([nic(name) for name in names], size=size, operations=operations)
    return vmi_view(raw, pod(networks=_asked(names)), nads=_nads(count), controller=CONTROLLER, nodes=_nodes())


def failing(count: int, size: int) -> VmiView:
    """The controller fails for every NIC, of which half are in the pod and may be phantoms."""
    names = _names(count)
    rows = [
        primary_row(),
        *(row(name, "multus-status", pod_interface=hashed_interface_name(name)) for name in names[::2]),
    ]
    phases = dict.fromkeys(names[::2], "InPod")
    operations = [_tried(name, phase=phases.get(name, "Pending"), lastError="no such bridge") for name in names]
    raw = _vmi(
        [nic(name, mac=_mac(index)) for index, name in enumerate(names)], size=size, operations=operations, rows=rows
    )
    launcher = pod(networks=_asked(names), status_text=_attached(names[::2]))
    return vmi_view(
        raw,
        launcher,
        nads=_nads(count),
        controller=CONTROLLER,
        nodes=_nodes(),
        failures=_failures(names),
        spec_seen_at=later(-60),
    )


def instance_with_failures(count: int, said: str) -> tuple[Json, Callable[[Json], VmiView]]:
    """An instance whose NICs have failed with these words, and what its view is for any reading of it."""
    names = _names(count)
    raw = _vmi([nic(name) for name in names], size=0, operations=[_tried(name) for name in names])
    failures = [replace(failure, message=said) for failure in _failures(names)]

    def view(read: Json) -> VmiView:
        return vmi_view(
            read,
            pod(networks=_asked(names)),
            nads=_nads(count),
            controller=CONTROLLER,
            nodes=_nodes(),
            failures=failures,
            spec_seen_at=later(-60),
        )

    return raw, view


def leaving(count: int, size: int) -> VmiView:
    """All NICs are to go: the guest has let go of half of them, which the pod still has."""
    names = _names(count)
    held = [
        *_in_guest(names[::2]),
        *(row(name, "multus-status", pod_interface=hashed_interface_name(name)) for name in names[1::2]),
    ]
    operations = [_tried(name, type_="Unplug", phase="InPod") for name in names]
    raw = _vmi(
        [nic(name, state="absent") for name in names], size=size, operations=operations, rows=[primary_row(), *held]
    )
    launcher = pod(networks=_asked(names[::2]), status_text=_attached(names))
    failures = _failures(names[1::2], removing=True)
    return vmi_view(raw, launcher, nads=_nads(count), controller=CONTROLLER, nodes=_nodes(), failures=failures)


def settled(count: int, size: int) -> VmiView:
    """All NICs are in the guest; the template, whose VM it is, asks for another network for each."""
    names = _names(count)
    operations = [_tried(name, phase="Ready", reason="Attached") for name in names]
    raw = _vmi(
        [nic(name) for name in names],
        size=size,
        operations=operations,
        rows=[primary_row(), *_in_guest(names)],
        owner_uid=VM_UID,
        annotations=_annotations(names),
    )
    asked = vm(primary(), *(nic(name, attachment=f"{name}-other") for name in names))
    launcher = pod(networks=_asked(names), status_text=_attached(names))
    nads = [*_nads(count), *(nad(f"{name}-other") for name in names)]
    return vmi_view(raw, launcher, vm=_big(asked, size), nads=nads, controller=CONTROLLER, nodes=_nodes())


def migrating(count: int, size: int) -> VmiView:
    """No controller: each NIC needs a migration, the last five have failed of the same NICs, and one is under way."""
    names = _names(count)
    operations = [_tried(name, path="Migration", phase="Migrating", reason="Migrating", **_FAILED) for name in names]
    raw = _vmi(
        [nic(name) for name in names],
        size=size,
        operations=operations,
        owner_uid=VM_UID,
        annotations=_annotations(names),
    )
    asked = vm(primary(), *(nic(name) for name in names))
    return vmi_view(
        raw,
        pod(),
        vm=_big(asked, size),
        nads=_nads(count, device="example.com/nic"),
        controller=ABSENT_CONTROLLER,
        nodes=_nodes(),
        migrations=[*_failed_migrations(names), own_migration(names, "under-way", phase="Scheduling")],
    )


def hindered(count: int, size: int) -> VmiView:
    """Half of the NICs are SR-IOV and want a migration; those that failed were kept from them by the other half."""
    names = _names(count)
    wanting, others = names[::2], names[1::2]
    operations = [_tried(name, path="Migration", **_FAILED) for name in names]
    nics = [nic(name, binding="sriov" if index % 2 == 0 else "bridge") for index, name in enumerate(names)]
    raw = _vmi(nics, size=size, operations=operations)
    launcher = pod(networks=_asked(others))
    return vmi_view(
        raw,
        launcher,
        nads=_nads(count, device="example.com/nic"),
        controller=CONTROLLER,
        nodes=_nodes(),
        migrations=_failed_migrations(wanting, blamed=others),
        failures=_failures(others),
    )


def rolled_back(count: int, size: int) -> VmiView:
    """Every NIC was taken back, and the rollout strategy is Stage."""
    names = _names(count)
    digests = dict.fromkeys(names, "0123456789")
    annotations = _annotations(names) | {"nicplug.io/rolled-back-interfaces": json.dumps(digests)}
    raw = _vmi(
        [nic(name) for name in names],
        size=size,
        operations=[_tried(name, phase="Failed", reason="RolledBack") for name in names],
        owner_uid=VM_UID,
        annotations=annotations,
    )
    asked = _big(vm(primary(), *(nic(name, mac=_mac(index)) for index, name in enumerate(names))), size)
    staged = kubevirt()
    staged["spec"]["configuration"]["vmRolloutStrategy"] = "Stage"
    return vmi_view(raw, pod(), vm=asked, config=staged, nads=_nads(count), controller=CONTROLLER, nodes=_nodes())


def starting(count: int, size: int) -> VmiView:
    """The launcher pod is to be made."""
    return vmi_view(
        _big(
            vmi(primary(), *(nic(name, mac=_mac(index)) for index, name in enumerate(_names(count))), phase="Pending"),
            size,
        ),
        nads=_nads(count),
    )


VMI_VIEWS: tuple[Callable[[int, int], VmiView], ...] = (
    new,
    waiting,
    failing,
    leaving,
    settled,
    migrating,
    hindered,
    rolled_back,
    starting,
)
"""By how many NICs, and by how many bytes beside them."""


def plugging_vm(count: int, size: int) -> VmView:
    """A template with NICs that its VMI lacks."""
    asked = _big(vm(primary(), *(nic(name) for name in _names(count)), generation=2), size)
    before = _big(vm(primary()), size)
    return vm_view(
        asked, vmi=_big(vmi(primary(), rows=[primary_row()], owner_uid=VM_UID), size), started_from=revision(before)
    )


def unplugging_vm(count: int, size: int) -> VmView:
    """A template that wants every NIC gone, in a spec that differs from the one that the VM was started from."""
    names = _names(count)
    asked = _big(vm(primary(), *(nic(name, state="absent") for name in names), generation=2), size, mark="other")
    before = _big(vm(primary(), *(nic(name) for name in names)), size)
    raw = _vmi(
        [nic(name) for name in names],
        size=size,
        rows=[primary_row(), *(row(name, "domain", pod_interface="") for name in names)],
        owner_uid=VM_UID,
        annotations=_annotations(names),
    )
    return vm_view(asked, vmi=raw, started_from=revision(before))


def changing_vm(count: int, size: int) -> VmView:
    """A template that asks for other networks and other addresses, of NICs of which some never came."""
    names = _names(count)
    asked = _big(
        vm(
            primary(),
            *(nic(name, mac=_mac(index), attachment=f"{name}-other") for index, name in enumerate(names)),
            generation=2,
        ),
        size,
    )
    before = _big(vm(primary(), *(nic(name) for name in names)), size)
    raw = _vmi(
        [nic(name) for name in names],
        size=size,
        rows=[primary_row(), *_in_guest(names[::2])],
        owner_uid=VM_UID,
        annotations=_annotations(names),
    )
    return vm_view(asked, vmi=raw, started_from=revision(before))


def resting_vm(count: int, size: int) -> VmView:
    """A VM whose template is that of its VMI."""
    names = _names(count)
    raw = _vmi(
        [nic(name) for name in names],
        size=size,
        rows=[primary_row(), *_in_guest(names)],
        owner_uid=VM_UID,
        annotations=_annotations(names),
    )
    asked = _big(vm(primary(), *(nic(name) for name in names)), size)
    return vm_view(asked, vmi=raw, started_from=revision(asked))


def outdated_vm(count: int, size: int) -> VmView:
    """A template of which much waits for a restart: half of its NICs changed, and what nobody interprets."""
    names = _names(count)
    asked = [nic(name, mac=_mac(index) if index % 2 else "") for index, name in enumerate(names)]
    raw = _vmi(
        [nic(name) for name in names],
        size=size,
        rows=[primary_row(), *_in_guest(names)],
        owner_uid=VM_UID,
        annotations=_annotations(names),
    )
    before = vm(primary(), *(nic(name) for name in names))
    for template in (asked_vm := vm(primary(), *asked, generation=2), before):
        template["spec"]["template"]["spec"]["architecture"] = "s390x"
    return vm_view(_big(asked_vm, size, mark="other"), vmi=raw, started_from=revision(_big(before, size)))


VM_VIEWS: tuple[Callable[[int, int], VmView], ...] = (plugging_vm, unplugging_vm, changing_vm, resting_vm, outdated_vm)


def pending_migration(count: int, size: int) -> MigrationView:
    """The target pod is to be made, after migrations that have failed."""
    names = _names(count)
    operations = [_tried(name, path="Migration", **_FAILED) for name in names]
    raw = _vmi([nic(name) for name in names], size=size, operations=operations)
    return migration_view(
        own_migration(names, "now", phase="Pending"), raw, pod(), others=_failed_migrations(names), nads=_nads(count)
    )


def failing_migration(count: int, size: int) -> MigrationView:
    """The target pod lacks half of its interfaces, and has had its time."""
    names = _names(count)
    raw = _vmi([nic(name) for name in names], size=size, rows=[primary_row(), *_in_guest(names[::2])])
    launcher = pod(networks=_asked(names[::2]), status_text=_attached(names[::2]))
    target = target_pod(
        networks=_asked(names), status_text=_attached(names[::2]), creationTimestamp="2026-01-02T00:00:00Z"
    )
    mine = own_migration(names[1::2], "now", phase="Scheduling", uid=MIGRATION_UID)
    return migration_view(mine, raw, launcher, target, nads=_nads(count))


def handed_off_migration(count: int, size: int) -> MigrationView:
    """The guest is being copied."""
    names = _names(count)
    raw = _vmi([nic(name) for name in names], size=size, moving=migration_state())
    target = target_pod(networks=_asked(names), status_text=_attached(names))
    mine = own_migration(names, "now", phase="Running", uid=MIGRATION_UID)
    return migration_view(mine, raw, pod(), target, nads=_nads(count))


MIGRATION_VIEWS: tuple[Callable[[int, int], MigrationView], ...] = (
    pending_migration,
    failing_migration,
    handed_off_migration,
)


_FAILED: Json = {
    "migrationFailures": {"migrations": ["gone"], "cause": "0123456789/0123456789", "reason": "TargetPodNotReady"}
}


def own_migration(names: Sequence[str], name: str, *, phase: str, uid: str | None = None, **status: Any) -> Json:
    """A migration of nicplug's own for these NICs."""
    causes = dict.fromkeys(names, "0123456789/0123456789")
    return migration(
        phase,
        name=f"kubevirt-workload-update-{name}",
        uid=uid or f"migration-{name}",
        status=status,
        ownerReferences=[owner("VirtualMachineInstance", "vmi-fedora", VMI_UID)],
        annotations={
            "kubevirt.io/workloadUpdateMigration": "",
            "nicplug.io/interfaces": json.dumps(causes),
        },
    )


def _failed_migrations(names: Sequence[str], *, blamed: Sequence[str] = ()) -> list[Json]:
    told = {"type": "Progressing", "status": "False", "reason": "TargetPodNotReady", "message": "no such bridge"}
    status: Json = {"conditions": [told], "interfacesAtFault": list(blamed or names)}
    if blamed:
        status["causesAtFault"] = dict.fromkeys(blamed, "0123456789/0123456789")
    return [own_migration(names, f"failed-{index}", phase="Failed", **status) for index in range(5)]


def _tried(name: str, **members: Any) -> Json:
    return operation(name, **{"lastAttemptTime": later(-30), "observedGeneration": 2, "since": later(-60), **members})


def _failures(names: Sequence[str], *, removing: bool = False) -> list[PodFailure]:
    return [
        PodFailure(
            pod_uid=POD_UID,
            interface=hashed_interface_name(name),
            reason=FAILED_REMOVING if removing else FAILED_ADDING,
            message=f"network {name}-net: no such bridge",
            heard_at=NOW,
        )
        for name in names
    ]


def _annotations(names: Sequence[str]) -> dict[str, str]:
    return {"nicplug.io/template-interfaces": json.dumps(sorted(["default", *names]))}


def _mac(index: int) -> str:
    return f"02:00:00:00:{index // 256:02x}:{index % 256:02x}"
