"""What the rules of admission cost kube-apiserver: writes of virtual machines with them and without, side by side.

CRDs and policies are installed in an API group of their own, and the CRDs without rules in another one. The same
objects are written to both in turns, one by one. Two figures: the CPU time of a write, as the median, in which no
garbage collection is; and what it allocates, which decides how often there is one.
"""

import asyncio
import contextlib
import copy
import re
import statistics
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table
from tests.perf import resources
from tests.perf.schema_variants import without_rules
from tests.perf.world import NAMESPACE, Say, World

from nicplug_sandbox.kubectl import Kubectl
from nicplug_sandbox.node.api import JSON_PATCH, ApiError, Json, Resource
from nicplug_sandbox.operator_process import ADMISSION, ROOT

APISERVER = "kube-apiserver"
CRDS = Resource(prefix="/apis/apiextensions.k8s.io/v1", plural="customresourcedefinitions", namespaced=False)
POLICIES = "/apis/admissionregistration.k8s.io/v1"
KINDS = {
    "ValidatingAdmissionPolicy": "validatingadmissionpolicies",
    "ValidatingAdmissionPolicyBinding": "validatingadmissionpolicybindings",
}
PLURALS = ("virtualmachines", "virtualmachineinstances")
RULED, RULELESS = "ruled", "ruleless"
_NAME = "machine"
_POLL_SECONDS = 0.2
_SETTLED_SECONDS = 2.0
# Of a core: what the API server uses when nobody asks for anything.
_IDLE = 0.05
_PATIENCE_SECONDS = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RulesShape:
    """How much of everything.

    Attributes:
        pairs: writes of each kind on each side, one after the other, whose CPU time is measured.
        block: writes of each kind whose allocations are measured.
    """

    pairs: int = 150
    block: int = 50


QUICK = RulesShape(pairs=5, block=5)


@dataclass(slots=True, kw_only=True)
class Side:
    """One API group.

    Attributes:
        vms: its virtual machines.
        vmis: its instances.
        has_more: the VM has one NIC more than at first.
    """

    vms: Resource
    vmis: Resource
    has_more: bool = False


Send = Callable[[World, Side, Json, int], Awaitable[None]]
"""One write, of the VM or the VMI; the number makes it differ from the one before."""


def in_group(crd: Json, group: str) -> Json:
    """A CRD of another API group."""
    found = copy.deepcopy(crd)
    found["metadata"] = {"name": f"{found['spec']['names']['plural']}.{group}"}
    found["spec"]["group"] = group
    return found


def policies_in_group(documents: list[Json], group: str) -> list[Json]:
    """The policies of the two kinds, and their bindings, for the resources of another API group."""
    found = []
    for document in documents:
        if document["kind"] == "ValidatingAdmissionPolicy":
            rules = document["spec"]["matchConstraints"]["resourceRules"]
            rules = [{**rule, "apiGroups": [group]} for rule in rules if set(rule["resources"]) <= set(PLURALS)]
            if not rules:
                continue
            document = copy.deepcopy(document)
            document["spec"]["matchConstraints"]["resourceRules"] = rules
        elif document["kind"] == "ValidatingAdmissionPolicyBinding":
            document = copy.deepcopy(document)
            document["spec"]["policyName"] += f".{group}"
        else:
            continue
        document["metadata"]["name"] += f".{group}"
        found.append(document)
    return found


async def measure(world: World, admin: Path, vm: Json, vmi: Json, shape: RulesShape, *, say: Say) -> dict[str, Any]:
    """The figures, for objects as nicplug has made them. Nothing else may write meanwhile."""
    async with asyncio.timeout(_PATIENCE_SECONDS):
        sides = {name: await _install(world, name, vm, vmi) for name in (RULELESS, RULED)}
        await _settled(world)
    [apiserver] = [process.pid for process in world.processes if process.name == APISERVER]
    found: dict[str, Any] = {}
    number = 0
    for write, send in WRITES.items():
        body = vmi if send is _status else vm
        cpu: dict[str, list[int]] = {name: [] for name in sides}
        for pair in range(shape.pairs):
            for name in sorted(sides, reverse=pair % 2 == 1):
                number += 1
                before = _cpu_nanoseconds(apiserver)
                await send(world, sides[name], body, number)
                cpu[name].append(_cpu_nanoseconds(apiserver) - before)
        bytes_of: dict[str, float] = {}
        for name, side in sides.items():
            before, once = await _allocated(admin), await _allocated(admin)
            for _ in range(shape.block):
                number += 1
                await send(world, side, body, number)
            bytes_of[name] = (await _allocated(admin) - once - (once - before)) / shape.block
        found[write] = _figures(cpu, bytes_of)
        say(f"rules: {write}")
    return {"shape": asdict(shape), "writes": found}


def _figures(cpu: Mapping[str, Sequence[int]], bytes_of: Mapping[str, float]) -> dict[str, Any]:
    milliseconds = {name: statistics.median(values) / 1e6 for name, values in cpu.items()}
    return {
        "cpu_ms": {name: round(value, 2) for name, value in milliseconds.items()},
        "cpu_ratio": round(milliseconds[RULED] / milliseconds[RULELESS], 3),
        "kib": {name: round(value / 1024) for name, value in bytes_of.items()},
        "kib_ratio": round(bytes_of[RULED] / bytes_of[RULELESS], 3),
    }


def _cpu_nanoseconds(pid: int) -> int:
    """CPU time of all threads of a process; /proc/PID/stat counts in hundredths of a second."""
    total = 0
    for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        with contextlib.suppress(OSError):
            total += int(path.read_text().split()[0])
    return total


async def _allocated(admin: Path) -> int:
    """Bytes that kube-apiserver has allocated since its start."""
    command = Kubectl(kubeconfig=admin, cache=admin.parent / "kubectl-cache")
    done = await asyncio.to_thread(command.run, "get", "--raw", "/metrics")
    [found] = re.findall(r"^go_memstats_alloc_bytes_total (\S+)$", done.stdout, re.M)
    return int(float(found))


async def _install(world: World, name: str, vm: Json, vmi: Json) -> Side:
    group = f"{name}.rules.test"
    vms, vmis = (Resource(prefix=f"/apis/{group}/v1", plural=plural) for plural in PLURALS)
    side = Side(vms=vms, vmis=vmis)
    for plural in PLURALS:
        crd = in_group(yaml.safe_load((ROOT / "crds" / f"{plural}.yaml").read_text()), group)
        await world.api.create(CRDS, crd if name == RULED else without_rules(crd))
    for resource in (side.vms, side.vmis):
        await _served(world, resource)
    if name == RULED:
        await _enforce(world, side, group, vm)
    await world.api.create(side.vms, _fresh(vm, _NAME, group), namespace=NAMESPACE)
    await world.api.create(side.vmis, _fresh(vmi, _NAME, group), namespace=NAMESPACE)
    await _status(world, side, vmi, 0)
    return side


async def _settled(world: World) -> None:
    """The API server has written its OpenAPI documents anew, which new CRDs make it do for some seconds."""
    while True:
        before = resources.snapshot(world.processes)
        await asyncio.sleep(_SETTLED_SECONDS)
        used = resources.spent(before, resources.snapshot(world.processes))[APISERVER].cpu_seconds
        if used < _IDLE * _SETTLED_SECONDS:
            return


async def _served(world: World, resource: Resource) -> None:
    while True:
        try:
            await world.api.list(resource, params={})
        except ApiError:
            await asyncio.sleep(_POLL_SECONDS)
        else:
            return


async def _enforce(world: World, side: Side, group: str, vm: Json) -> None:
    """The policies, once one of them refuses what it has to."""
    documents = [item for path in sorted(ADMISSION.glob("*.yaml")) for item in yaml.safe_load_all(path.read_text())]
    for document in policies_in_group(documents, group):
        await world.api.request("POST", f"{POLICIES}/{KINDS[document['kind']]}", body=document)
    wrong = _fresh(vm, "wrong", group)
    wrong["spec"]["template"]["spec"]["networks"].append({"name": "unused", "multus": {"networkName": "unused"}})
    while True:
        try:
            await world.api.request("POST", side.vms.path(namespace=NAMESPACE), params={"dryRun": "All"}, body=wrong)
        except ApiError as error:
            if "'unused' not found" in error.message:
                return
        await asyncio.sleep(_POLL_SECONDS)


def _fresh(body: Json, name: str, group: str) -> Json:
    """The object as somebody creates it."""
    spec = copy.deepcopy(body["spec"])
    return {"apiVersion": f"{group}/v1", "kind": body["kind"], "metadata": {"name": name}, "spec": spec}


async def _create(world: World, side: Side, body: Json, number: int) -> None:
    await world.api.create(
        side.vms, _fresh(body, f"{_NAME}-{number}", side.vms.prefix.split("/")[2]), namespace=NAMESPACE
    )


async def _change(world: World, side: Side, body: Json, number: int) -> None:
    """A NIC that is plugged and taken away in turns: the writes of a side alternate."""
    spec = "/spec/template/spec"
    lists: dict[str, Json] = {
        f"{spec}/domain/devices/interfaces": {"name": "more", "bridge": {}},
        f"{spec}/networks": {"name": "more", "multus": {"networkName": "more"}},
    }
    listed = body["spec"]["template"]["spec"]["networks"]
    change: list[Json] = []
    if side.has_more:
        change += [{"op": "remove", "path": f"{path}/{len(listed)}"} for path in lists]
    else:
        change += [{"op": "add", "path": f"{path}/-", "value": value} for path, value in lists.items()]
    await world.api.patch(side.vms, change, name=_NAME, namespace=NAMESPACE, content_type=JSON_PATCH)
    side.has_more = not side.has_more


async def _label(world: World, side: Side, body: Json, number: int) -> None:
    change = [{"op": "add", "path": "/metadata/labels", "value": {"number": str(number)}}]
    await world.api.patch(side.vms, change, name=_NAME, namespace=NAMESPACE, content_type=JSON_PATCH)


async def _status(world: World, side: Side, body: Json, number: int) -> None:
    conditions = [{**item, "message": f"write {number}"} for item in body["status"]["conditions"]]
    change = [{"op": "add", "path": "/status", "value": body["status"] | {"conditions": conditions}}]
    await world.api.patch(
        side.vmis, change, name=_NAME, namespace=NAMESPACE, subresource="status", content_type=JSON_PATCH
    )


WRITES: Mapping[str, Send] = {
    "status patch of a VMI": _status,
    "creation of a VM": _create,
    "one NIC more or fewer in a VM": _change,
    "patch of a label of a VM": _label,
}


def show(found: dict[str, Any], *, console: Console) -> None:
    """The table of the writes."""
    title = "kube-apiserver per write, without rules of admission and with them"
    table = Table(title=title, title_justify="left")
    for heading in ("write", "CPU, p50", "with rules", "ratio", "allocated", "with rules", "ratio"):
        table.add_column(heading, justify="left" if heading == "write" else "right")
    for write, row in found["writes"].items():
        cpu = [f"{row['cpu_ms'][name]:.2f} ms" for name in (RULELESS, RULED)]
        kib = [f"{row['kib'][name]:,} KiB" for name in (RULELESS, RULED)]
        table.add_row(write, *cpu, f"{row['cpu_ratio']:.2f}", *kib, f"{row['kib_ratio']:.2f}")
    console.print(table)
