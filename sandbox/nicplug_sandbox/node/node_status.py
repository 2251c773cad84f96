"""What a kubelet writes into the status of its Node: room, devices, and whether it is well. Pure."""

import logging
from collections.abc import Iterable
from datetime import datetime

from nicplug_sandbox.node.api import Json
from nicplug_sandbox.node.faults import RoleName, fault_of
from nicplug_sandbox.node.networks import annotation
from nicplug_sandbox.node.pod_status import timestamp
from nicplug_sandbox.node.settings import PREFIX

log = logging.getLogger(__name__)

DEVICES = PREFIX + "devices"
"""On a Node: what device plugins offer there, `example.com/fast=4`, several with commas."""
CAPACITY = {
    "cpu": "1000",
    "memory": "8Ti",
    "pods": "2000",
    "ephemeral-storage": "10Ti",
    "devices.kubevirt.io/kvm": "2000",
    "devices.kubevirt.io/tun": "2000",
    "devices.kubevirt.io/vhost-net": "2000",
}
"""Room for thousands of virtual machines: the sandbox limits the scheduler only where a test says so."""


def node_status(*, address: str, now: datetime) -> Json:
    """Ready, with room."""
    return {
        "capacity": CAPACITY,
        "allocatable": CAPACITY,
        "addresses": [{"type": "InternalIP", "address": address}],
        "conditions": _conditions(now, ready=True),
        "nodeInfo": {
            "architecture": "amd64", "operatingSystem": "linux", "osImage": "nicplug sandbox",
            "bootID": "", "machineID": "", "systemUUID": "", "kernelVersion": "simulated",
            "containerRuntimeVersion": "containerd://simulated", "kubeletVersion": "v0.0.0-simulated",
            "kubeProxyVersion": "",
        },
    }  # fmt: skip


def _conditions(now: datetime, *, ready: bool) -> list[Json]:
    """All of them: the node controller makes all of them Unknown when a kubelet is silent."""
    why = ("KubeletReady", "kubelet is posting ready status")
    if not ready:
        why = ("KubeletNotReady", "container runtime is down (sandbox fault)")
    rows = [
        ("MemoryPressure", "False", "KubeletHasSufficientMemory", ""),
        ("DiskPressure", "False", "KubeletHasNoDiskPressure", ""),
        ("PIDPressure", "False", "KubeletHasSufficientPID", ""),
        ("Ready", "True" if ready else "False", *why),
    ]
    moment = timestamp(now)
    return [
        {
            "type": kind, "status": status, "reason": reason, "message": message,
            "lastHeartbeatTime": moment, "lastTransitionTime": moment,
        }
        for kind, status, reason, message in rows
    ]  # fmt: skip


def _readiness(node: Json | None) -> str:
    conditions = (node or {}).get("status", {}).get("conditions") or ()
    return next((str(item["status"]) for item in conditions if item["type"] == "Ready"), "")


def is_node_ready(node: Json | None) -> bool:
    """Whether the Node has condition Ready=True."""
    return _readiness(node) == "True"


def readiness_patch(node: Json, *, now: datetime) -> Json:
    """The conditions as the kubelet would write them now; empty when they say so, or there is no kubelet."""
    fault = fault_of(node, RoleName.KUBELET)
    ready = fault.broken != "unready"
    if fault.absent or _readiness(node) == ("True" if ready else "False"):
        return {}
    return {"conditions": _conditions(now, ready=ready)}


def device_amounts(node: Json) -> dict[str, int]:
    """The devices that the node is told to offer; none, with a line in the log, when that is not understood."""
    text = annotation(node, DEVICES)
    found: dict[str, int] = {}
    for part in text.split(",") if text else ():
        name, _, amount = part.strip().partition("=")
        if "/" not in name or not amount.isdecimal():
            log.warning(
                'node "%s": annotation "%s" is "%s", not <domain>/<name>=<amount>,...: no device is offered',
                node["metadata"]["name"], DEVICES, text,
            )  # fmt: skip
            return {}
        found[name] = int(amount)
    return found


def devices_patch(node: Json, *, gone: Iterable[str] = ()) -> Json:
    """Capacity and allocatable with the devices, empty when they are there; `gone` have lost their device plugin."""
    wanted = {**dict.fromkeys(gone, "0"), **{name: str(amount) for name, amount in device_amounts(node).items()}}
    present = node.get("status", {}).get("allocatable") or {}
    changed = {name: amount for name, amount in wanted.items() if present.get(name, "0") != amount}
    return {"capacity": changed, "allocatable": changed} if changed else {}
