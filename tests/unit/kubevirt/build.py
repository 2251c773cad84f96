"""Objects as KubeVirt's controllers see them: a test says only what matters to it."""

import json
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from nicplug_sandbox.kubevirt.objects import OBSERVED_VERSIONS, Json, text_of

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
NODE = "node01"


def ago(seconds: float) -> str:
    return text_of(NOW - timedelta(seconds=seconds))


def uid(name: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, name))


def nic(name: str, **more: Any) -> Json:
    return {"name": name, **({} if "sriov" in more else {"bridge": {}}), **more}


def net(name: str, nad: str | None = None) -> Json:
    return {"name": name, "multus": {"networkName": nad or f"{name}-nad"}}


POD_NIC, POD_NET = {"name": "default", "masquerade": {}}, {"name": "default", "pod": {}}


def spec(*nics: Json, networks: list[Json] | None = None) -> Json:
    nets = networks if networks is not None else [net(item["name"]) for item in nics]
    return {
        "domain": {"devices": {"interfaces": [dict(POD_NIC), *nics]}},
        "networks": [dict(POD_NET), *nets],
    }


def vm(*nics: Json, networks: list[Json] | None = None, **more: Any) -> Json:
    return {
        "metadata": {
            "name": "fedora",
            "namespace": "default",
            "uid": uid("vm"),
            "generation": 2,
            "annotations": dict.fromkeys(OBSERVED_VERSIONS, "v1"),
            "finalizers": ["kubevirt.io/virtualMachineControllerFinalize"],
        },
        "spec": {"runStrategy": "Always", "template": {"spec": spec(*nics, networks=networks)}, **more},
    }


def vmi(
    *nics: Json,
    networks: list[Json] | None = None,
    rows: list[Json] | None = None,
    conditions: tuple[Json, ...] = (),
    phase: str = "Running",
    name: str = "fedora",
    node: str = NODE,
    status: Json | None = None,
    **metadata: Any,
) -> Json:
    return {
        "metadata": {
            "name": name,
            "namespace": "default",
            "uid": uid(f"vmi-{name}"),
            "labels": {"kubevirt.io/nodeName": node},
            "annotations": dict.fromkeys(OBSERVED_VERSIONS, "v1"),
            "finalizers": ["kubevirt.io/foregroundDeleteVirtualMachine"],
            **metadata,
        },
        "spec": spec(*nics, networks=networks),
        "status": {
            "phase": phase,
            "nodeName": node,
            "interfaces": rows if rows is not None else [{"name": "default", "podInterfaceName": "eth0"}],
            "conditions": list(conditions),
            **(status or {}),
        },
    }


def condition(kind: str, status: str = "True", *, since: float = 0, **more: str) -> Json:
    return {"type": kind, "status": status, "lastProbeTime": None, "lastTransitionTime": ago(since), **more}


LIVE = condition("LiveMigratable")


def required(status: str, *, since: float = 0) -> Json:
    reason = "AutoMigrationDueToLiveUpdate" if status == "True" else "AutoMigrationPending"
    return condition("MigrationRequired", status, since=since, reason=reason)


def pod(
    *,
    entries: list[Json] | str = "",
    annotations: dict[str, str] | None = None,
    labels: dict[str, str] | None = None,
    name: str = "virt-launcher-fedora-abcde",
    owner: str = "vmi-fedora",
    phase: str = "Running",
    node: str = NODE,
    age: float = 60,
    **metadata: Any,
) -> Json:
    text = entries if isinstance(entries, str) else json.dumps(entries)
    notes = {**({"k8s.v1.cni.cncf.io/network-status": text} if text else {}), **(annotations or {})}
    running = {"containerStatuses": [{"name": "compute", "ready": True, "state": {"running": {}}}]}
    return {
        "metadata": {
            "name": name,
            "namespace": "default",
            "uid": uid(name),
            "creationTimestamp": ago(age),
            "annotations": notes,
            "labels": {"kubevirt.io": "virt-launcher", "kubevirt.io/created-by": uid(owner), **(labels or {})},
            "ownerReferences": [{"uid": uid(owner), "controller": True}],
            **metadata,
        },
        "spec": {"nodeName": node},
        "status": {"phase": phase, **(running if phase == "Running" else {})},
    }


def migration(
    name: str = "mig", phase: str = "", *, vmi: str = "fedora", age: float = 10, marked: bool = False, **more: Any
) -> Json:
    notes = dict.fromkeys(OBSERVED_VERSIONS, "v1")
    if marked:
        notes["kubevirt.io/workloadUpdateMigration"] = ""
    status = more.pop("status", {})
    priority = more.pop("priority", None)
    return {
        "metadata": {
            "name": name,
            "namespace": "default",
            "uid": uid(name),
            "creationTimestamp": ago(age),
            "annotations": notes,
            "labels": {"kubevirt.io/vmi-name": vmi},
            "finalizers": ["kubevirt.io/migrationJobFinalize"],
            **more,
        },
        "spec": {"vmiName": vmi, **({"priority": priority} if priority else {})},
        "status": {**({"phase": phase} if phase else {}), **status},
    }


def target(name: str = "virt-launcher-fedora-fghij", *, of: str = "mig", **more: Any) -> Json:
    more = {"node": "node02", "age": 5, **more}
    return pod(name=name, labels={"kubevirt.io/migrationJobUID": uid(of)}, **more)


REVISION_PREFIX = f"revision-start-vm-{uid('vm')}"


def revision(generation: int, machine: Json | None = None, *, name: str = "") -> Json:
    return {
        "metadata": {
            "name": name or f"{REVISION_PREFIX}-{generation}",
            "namespace": "default",
            "uid": uid(f"r{generation}"),
        },
        "data": {"spec": (machine or vm())["spec"]},
        "revision": generation,
    }
