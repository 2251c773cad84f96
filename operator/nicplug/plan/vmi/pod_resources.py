"""Resources that a launcher pod requests: the guest's memory and CPUs, and the overhead of virtualization.

Source: KubeVirt 1.9 `pkg/virt-controller/services/renderresources.go` and `pkg/hypervisor/kvm/hypervisorbackend.go`.
A quantity that cannot be parsed is passed on unchanged: the API server rejects the pod with a clear message.
"""

import math
from collections.abc import Mapping
from typing import Any

from nicplug.model.metadata import mapping, objects
from nicplug.model.quantity import MEBIBYTE, format_bytes, format_millicores, parse_bytes, parse_quantity

# virt-launcher and its monitor, virtlogd, virtqemud, and QEMU without its guest.
_PROCESSES_MEBIBYTES = 240
_IO_THREAD_MEBIBYTES = 8
_PER_VCPU_MEBIBYTES = 8
_VIDEO_MEBIBYTES = 32
_PINNED_MEBIBYTES = 100
# A passed-through device locks all guest memory, and its registers are mapped in addition.
_PASSTHROUGH_MEBIBYTES = 1024
# One bit of page table for every 512 bits of guest memory.
_PAGE_TABLE_SHARE = 512
_MOST_VCPUS = 1 << 16

Json = dict[str, Any]


def with_devices(resources: Mapping[str, Any], devices: Mapping[str, int]) -> Json:
    """Add devices to `resources`, as requests and as limits: the API server rejects them otherwise."""
    if not devices:
        return dict(resources)
    amounts = {name: str(count) for name, count in devices.items()}
    members = {member: {**mapping(resources.get(member)), **amounts} for member in ("requests", "limits")}
    return {**resources, **members}


def pod_resources(spec: Mapping[str, Any], *, cpu_allocation_ratio: int) -> Json:
    """Return the `resources` of the compute container."""
    domain = mapping(spec.get("domain"))
    explicit = mapping(domain.get("resources"))
    requests, limits = dict(mapping(explicit.get("requests"))), dict(mapping(explicit.get("limits")))
    if not requests.get("memory") and (memory := limits.get("memory") or _guest_memory(domain)):
        requests["memory"] = memory
    overhead = _overhead(domain, requests=requests, limits=limits)
    if not explicit.get("overcommitGuestOverhead"):
        _add(requests, overhead)
    _add(limits, overhead)
    _ask_for_huge_pages(domain, requests=requests, limits=limits, overhead=overhead)
    _ask_for_cpus(domain, requests=requests, limits=limits, ratio=cpu_allocation_ratio)
    return {name: value for name, value in (("requests", requests), ("limits", limits)) if value}


def _guest_memory(domain: Mapping[str, Any]) -> Any:
    memory = mapping(domain.get("memory"))
    return memory.get("guest") or mapping(memory.get("hugepages")).get("pageSize")


def _add(resources: Json, extra: int) -> None:
    amount = parse_bytes(resources.get("memory"))
    if amount is not None:
        resources["memory"] = format_bytes(amount + extra)


def _overhead(domain: Mapping[str, Any], *, requests: Json, limits: Json) -> int:
    """Bytes in addition to the guest's memory; probes, TPM and SEV belong to the node side and are not counted."""
    devices = mapping(domain.get("devices"))
    cpu = mapping(domain.get("cpu"))
    vcpus = _vcpus(cpu) or _whole(limits.get("cpu")) or _whole(requests.get("cpu")) or 1
    mebibytes = _PROCESSES_MEBIBYTES + _IO_THREAD_MEBIBYTES + _PER_VCPU_MEBIBYTES * vcpus
    if devices.get("autoattachGraphicsDevice") is not False:
        mebibytes += _VIDEO_MEBIBYTES
    if cpu.get("dedicatedCpuPlacement") is True:
        mebibytes += _PINNED_MEBIBYTES
    if _has_passthrough(devices):
        mebibytes += _PASSTHROUGH_MEBIBYTES
    page_tables = (parse_bytes(requests.get("memory")) or 0) // _PAGE_TABLE_SHARE
    return mebibytes * MEBIBYTE + page_tables


def _has_passthrough(devices: Mapping[str, Any]) -> bool:
    sriov = any(interface.get("sriov") is not None for interface in objects(devices.get("interfaces")))
    return sriov or bool(objects(devices.get("hostDevices"))) or bool(objects(devices.get("gpus")))


def _ask_for_huge_pages(domain: Mapping[str, Any], *, requests: Json, limits: Json, overhead: int) -> None:
    """Request huge pages for the guest, and ordinary memory for the rest of the pod."""
    size = mapping(mapping(domain.get("memory")).get("hugepages")).get("pageSize")
    pages = parse_bytes(_guest_memory(domain))
    if not isinstance(size, str) or parse_quantity(size) is None or pages is None:
        return
    requests[f"hugepages-{size}"] = limits[f"hugepages-{size}"] = format_bytes(pages)
    for resources in (requests, limits):
        amount = parse_bytes(resources.get("memory"))
        if amount is not None:
            resources["memory"] = format_bytes(max(amount - pages, overhead))


def _ask_for_cpus(domain: Mapping[str, Any], *, requests: Json, limits: Json, ratio: int) -> None:
    """Request a share of a CPU for each vCPU, or a whole CPU for each if they are pinned."""
    cpu = mapping(domain.get("cpu"))
    if cpu.get("dedicatedCpuPlacement") is not True:
        requests.setdefault("cpu", format_millicores(math.ceil((_vcpus(cpu) or 1) * 1000 / ratio)))
        return
    if vcpus := _vcpus(cpu):
        emulator = 1 if cpu.get("isolateEmulatorThread") is True else 0
        requests["cpu"] = limits["cpu"] = str(vcpus + emulator)
    elif asked := limits.get("cpu") or requests.get("cpu"):
        requests["cpu"] = limits["cpu"] = asked
    if memory := requests.get("memory"):
        limits["memory"] = memory


def _vcpus(cpu: Mapping[str, Any]) -> int:
    """Sockets times cores times threads; 0 when none is given."""
    counts = [_count(cpu.get(part)) for part in ("sockets", "cores", "threads")]
    return math.prod(count or 1 for count in counts) if any(counts) else 0


def _count(value: Any) -> int:
    return min(value, _MOST_VCPUS) if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0


def _whole(value: Any) -> int:
    amount = parse_quantity(value)
    return min(math.ceil(amount), _MOST_VCPUS) if amount is not None else 0
